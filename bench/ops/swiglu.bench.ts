import { swiglu } from "../../lib/ops/swiglu.ts";
import type { BenchCase } from "../workload.ts";

const rows = 4096;
const F = 1024;

export const cases: BenchCase[] = [
  {
    title: `T·K ${rows}, F ${F}`,
    make: (o) => {
      const gate = o.normal([rows, F]);
      const up = o.normal([rows, F]);
      const bytes = o.bytes * rows * F;
      return {
        activations: [gate, up],
        call: () => swiglu(gate, up),
        forward: { reads: 2 * bytes, writes: bytes },
        backward: { reads: 3 * bytes, writes: 2 * bytes },
      };
    },
  },
];
