import { add, copyInto, scale } from "../../lib/ops/add.ts";
import type { BenchCase } from "../workload.ts";

const T = 2048;
const D = 1024;

export const cases: BenchCase[] = [
  {
    title: "one element: the cost of a call",
    dtypes: ["f32"],
    make: (o) => {
      const a = o.normal([1]);
      return { call: () => add(a, a), forward: { reads: 8, writes: 4 } };
    },
  },
  {
    title: `T ${T}, D ${D}`,
    make: (o) => {
      const a = o.normal([T, D]);
      const b = o.normal([T, D]);
      const bytes = o.bytes * T * D;
      return { call: () => add(a, b), forward: { reads: 2 * bytes, writes: bytes } };
    },
  },
  {
    title: `scale, T ${T}, D ${D}`,
    make: (o) => {
      const x = o.normal([T, D]);
      const bytes = o.bytes * T * D;
      return {
        activations: [x],
        call: () => scale(x, 0.5),
        forward: { reads: bytes, writes: bytes },
        backward: { reads: bytes, writes: bytes },
      };
    },
  },
  {
    title: `copyInto bf16 from f32, T ${T}, D ${D}`,
    dtypes: ["f32"],
    make: (o) => {
      const x = o.normal([T, D]);
      const y = o.normal([T, D], { dtype: "bf16" });
      return {
        call: () => {
          copyInto(x, y);
          return undefined;
        },
        forward: { reads: 4 * T * D, writes: 2 * T * D },
      };
    },
  },
];
