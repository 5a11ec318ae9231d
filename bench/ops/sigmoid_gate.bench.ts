import { sigmoidGate } from "../../lib/ops/sigmoid_gate.ts";
import type { BenchCase } from "../workload.ts";

const T = 2048;
const D = 1024;

export const cases: BenchCase[] = [
  {
    title: `T ${T}, D ${D}`,
    make: (o) => {
      const x = o.normal([T, D]);
      const gate = o.normal([T, 1]);
      const bytes = o.bytes * T * D;
      return {
        activations: [x, gate],
        call: () => sigmoidGate(x, gate),
        forward: { reads: bytes, writes: bytes },
        backward: { reads: 2 * bytes, writes: bytes },
      };
    },
  },
];
