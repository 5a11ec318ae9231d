import { gae } from "../../lib/ops/gae.ts";
import type { BenchCase } from "../workload.ts";

const T = 16384;
const segments = 64;

export const cases: BenchCase[] = [
  {
    title: `T ${T}, ${segments} segments`,
    dtypes: ["f32"],
    make: (o) => {
      const [rewards, values] = [o.normal([T]), o.normal([T])];
      const offsets = o.ints(
        Array.from({ length: segments + 1 }, (_, d) => (d * T) / segments),
        [segments + 1],
      );
      return {
        call: () => gae({ rewards, values, offsets, gamma: 0.99, lambda: 0.95 }).advantages,
        forward: { reads: 8 * T, writes: 8 * T },
      };
    },
  },
];
