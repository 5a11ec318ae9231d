import { rotary, rotaryTable } from "../../lib/ops/rotary.ts";
import type { BenchCase } from "../workload.ts";

const T = 2048;
const P = 32;

export const cases: BenchCase[] = [
  ...[8, 16].map(
    (heads): BenchCase => ({
      title: `T ${T}, H ${heads}, hd 64`,
      make: (o) => {
        const x = o.normal([T, heads * 64]);
        const table = {
          cos: o.normal([T, P], { dtype: "f32" }),
          sin: o.normal([T, P], { dtype: "f32" }),
        };
        const bytes = o.bytes * T * heads * 64;
        const cost = { reads: bytes + 8 * T * P, writes: bytes };
        return {
          activations: [x],
          call: () => rotary(x, table, { heads }),
          forward: cost,
          backward: cost,
        };
      },
    }),
  ),
  {
    title: `rotaryTable, T ${T}, P ${P}`,
    dtypes: ["f32"],
    make: (o) => {
      const positions = o.ints(
        Array.from({ length: T }, (_, t) => t),
        [T],
      );
      const invFreq = o.normal([P]);
      return {
        call: () => rotaryTable(positions, invFreq).cos,
        forward: { reads: 4 * T, writes: 8 * T * P },
      };
    },
  },
];
