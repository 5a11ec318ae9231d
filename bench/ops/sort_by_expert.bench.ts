import { sortByExpert } from "../../lib/ops/sort_by_expert.ts";
import { routed } from "../routing.ts";
import type { BenchCase } from "../workload.ts";

const sorting = (T: number, K: number, E: number): BenchCase => ({
  title: `T ${T}, K ${K}, E ${E}`,
  dtypes: ["f32"],
  make: (o) => {
    const experts = o.ints(routed("zipf", E, T * K), [T, K]);
    return {
      call: () => sortByExpert(experts, E).offsets,
      forward: { reads: 4 * T * K, writes: 12 * T * K },
    };
  },
});

export const cases = [sorting(2048, 2, 8), sorting(2048, 8, 64)];
