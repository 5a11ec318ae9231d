import { segmentSum } from "../../lib/ops/segment_sum.ts";
import type { BenchCase } from "../workload.ts";

const T = 2048;
const documents = 8;

export const cases: BenchCase[] = [
  {
    title: `T ${T}, ${documents} documents`,
    dtypes: ["f32"],
    make: (o) => {
      const x = o.normal([T]);
      const offsets = o.ints(
        Array.from({ length: documents + 1 }, (_, d) => (d * T) / documents),
        [documents + 1],
      );
      return {
        activations: [x],
        call: () => segmentSum(x, offsets),
        forward: { reads: 4 * T, writes: 4 * documents },
        backward: { reads: 4 * documents, writes: 4 * T },
      };
    },
  },
];
