import { dropout } from "../../lib/ops/dropout.ts";
import type { BenchCase } from "../workload.ts";

const T = 2048;
const D = 1024;

export const cases: BenchCase[] = [
  {
    title: `T ${T}, D ${D}, p 0.1`,
    make: (o) => {
      const x = o.normal([T, D]);
      const bytes = o.bytes * T * D;
      return {
        activations: [x],
        call: () => dropout(x, 0.1),
        forward: { reads: bytes, writes: bytes },
        backward: { reads: bytes, writes: bytes },
      };
    },
  },
];
