import { lowRankLinear } from "../../lib/ops/low_rank.ts";
import type { BenchCase } from "../workload.ts";

const r = 16;

/** The base frozen, as in training. */
const layer = (T: number, D: number, dora: boolean, dropout: number): BenchCase => ({
  title: `${dora ? "DoRA" : "LoRA"}, T ${T}, ${D}→${D}, r ${r}, dropout ${dropout}`,
  make: (o) => {
    const x = o.normal([T, D]);
    const weight = o.normal([D, D], { std: 0.02 });
    const a = o.normal([r, D], { std: 0.02 });
    const b = o.normal([D, r], { std: 0.02 });
    const [magnitude, norm] = dora ? [o.normal([D]), o.device.full([D], 1)] : [];
    const flops = 2 * T * D * (D + 2 * r);
    const [rows, narrow] = [o.bytes * T * D, o.bytes * (D * D + 2 * r * D)];
    return {
      activations: [x],
      weights: [a, b, ...(magnitude ? [magnitude] : [])],
      call: () => lowRankLinear(x, weight, a, b, { scaling: 2, dropout, magnitude, norm }),
      forward: { flops, reads: rows + narrow, writes: rows },
      backward: {
        flops: flops + 4 * T * D * r,
        reads: (dora ? 3 : 2) * rows + narrow,
        writes: rows + 8 * r * D,
      },
    };
  },
});

export const cases: BenchCase[] = [
  layer(2048, 1024, false, 0),
  layer(2048, 1024, true, 0),
  layer(2048, 1024, true, 0.05),
  layer(256, 2048, false, 0),
  layer(256, 2048, true, 0),
];
