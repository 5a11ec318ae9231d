import type { DType } from "../../lib/core/dtype.ts";
import { run } from "../../lib/core/run.ts";
import type { BenchCase } from "../workload.ts";

// The kernel itself, over the tensors of a small model: E experts of D×F, three each.
const [E, D, F] = [8, 512, 512];

export const cases: BenchCase[] = [
  {
    title: `${3 * E} tensors, ${((3 * E * D * F) / 1e6).toFixed(1)} million parameters`,
    make: (o) => {
      const list = (dtype: DType, std: number) =>
        Array.from({ length: 3 * E }, () => o.normal([F, D], { dtype, std }));
      const grads = list("f32", 1e-3);
      const params = list(o.dtype, 0.02);
      const first = grads.map((g) => o.device.full(g.shape, 0));
      const second = grads.map((g) => o.device.full(g.shape, 0));
      const masters = o.dtype === "bf16" ? list("f32", 0.02) : params.map(() => undefined);
      const N = 3 * E * D * F;
      return {
        call: () => {
          run(
            "adamw",
            grads,
            params,
            first,
            second,
            masters,
            undefined,
            1e-4,
            0.9,
            0.95,
            1e-8,
            0.1,
            true,
            10,
          );
          return undefined;
        },
        forward: { reads: 16 * N, writes: (o.dtype === "bf16" ? 14 : 12) * N, inPlace: true },
      };
    },
  },
];
