import { minimum } from "../../lib/ops/binary.ts";
import type { BenchCase } from "../workload.ts";

const T = 65536;

export const cases: BenchCase[] = [
  {
    title: `minimum, T ${T}`,
    dtypes: ["f32"],
    make: (o) => {
      const [a, b] = [o.normal([T]), o.normal([T])];
      return {
        activations: [a, b],
        call: () => minimum(a, b),
        forward: { reads: 8 * T, writes: 4 * T },
        backward: { reads: 12 * T, writes: 8 * T },
      };
    },
  },
];
