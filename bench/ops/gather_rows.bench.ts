import { Random } from "../../lib/core/random.ts";
import { gatherRows, scatterRows } from "../../lib/ops/gather_rows.ts";
import type { BenchCase } from "../workload.ts";

const T = 2048;
const D = 512;

/** A token embedding. Its gradient is dense: the whole table is written. */
const embedding = (V: number): BenchCase => ({
  title: `embedding, T ${T}, D ${D}, V ${V}`,
  make: (o) => {
    const random = new Random(3);
    const table = o.normal([V, D]);
    const ids = o.ints(
      Array.from({ length: T }, () => random.below(V)),
      [T],
    );
    const bytes = o.bytes * T * D;
    return {
      weights: [table],
      call: () => gatherRows(table, ids),
      forward: { reads: bytes, writes: bytes },
      backward: { reads: bytes, writes: 4 * V * D },
    };
  },
});

export const cases: BenchCase[] = [
  embedding(8192),
  embedding(32000),
  {
    title: `scatterRows, T ${T}, D ${D}`,
    make: (o) => {
      const x = o.normal([T, D]);
      const target = o.normal([2 * T, D]);
      const rows = o.ints(
        Array.from({ length: T }, (_, t) => 2 * t),
        [T],
      );
      const bytes = o.bytes * T * D;
      return {
        call: () => {
          scatterRows(x, rows, target);
          return undefined;
        },
        forward: { reads: bytes, writes: bytes },
      };
    },
  },
];
