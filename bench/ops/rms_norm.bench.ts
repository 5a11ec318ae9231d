import { rmsNorm } from "../../lib/ops/rms_norm.ts";
import type { BenchCase } from "../workload.ts";

const T = 2048;
const D = 1024;

const normed = (title: string, width: number): BenchCase => ({
  title,
  make: (o) => {
    const x = o.normal([T, D]);
    const weight = o.normal([width]);
    const bytes = o.bytes * T * D;
    return {
      activations: [x],
      weights: [weight],
      call: () => rmsNorm(x, weight, { eps: 1e-5, width }),
      forward: { reads: bytes, writes: bytes },
      backward: { reads: 2 * bytes, writes: bytes },
    };
  },
});

export const cases = [normed(`T ${T}, D ${D}`, D), normed(`T ${T}, 16 heads of 64`, 64)];
