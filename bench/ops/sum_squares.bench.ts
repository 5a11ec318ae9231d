import { run } from "../../lib/core/run.ts";
import type { BenchCase } from "../workload.ts";

// The global gradient norm, over the tensors of a small model.
const [count, N] = [24, 512 * 512];

export const cases: BenchCase[] = [
  {
    title: `${count} tensors, ${((count * N) / 1e6).toFixed(1)} million elements`,
    dtypes: ["f32"],
    make: (o) => {
      const grads = Array.from({ length: count }, () => o.normal([N]));
      const total = o.normal([1]);
      return {
        call: () => {
          run("sum_squares", grads, total);
          return undefined;
        },
        forward: { reads: 4 * count * N, writes: 4 },
      };
    },
  },
];
