import { scope } from "../../lib/core/scope.ts";
import { combineRows } from "../../lib/ops/combine_rows.ts";
import { sortByExpert } from "../../lib/ops/sort_by_expert.ts";
import { routed } from "../routing.ts";
import type { BenchCase } from "../workload.ts";

const combined = (T: number, K: number, D: number, E: number): BenchCase => ({
  title: `T ${T}, K ${K}, D ${D}`,
  make: (o) => {
    const y = o.normal([T * K, D]);
    const weights = o.normal([T, K], { dtype: "f32" });
    const experts = o.ints(routed("uniform", E, T * K), [T, K]);
    const positions = scope(() => sortByExpert(experts, E).positions);
    const [rows, tokens, lists] = [o.bytes * T * K * D, o.bytes * T * D, 8 * T * K];
    return {
      activations: [y, weights],
      call: () => combineRows(y, weights, positions),
      forward: { reads: rows + lists, writes: tokens },
      backward: { reads: tokens + rows + lists, writes: rows + lists / 2 },
    };
  },
});

export const cases = [combined(2048, 2, 512, 8), combined(1024, 8, 512, 64)];
