import { sortByExpert } from "../../lib/ops/sort_by_expert.ts";
import { type Load, loads, loadTitle, routed } from "../routing.ts";
import type { BenchCase } from "../workload.ts";

const sorting = (T: number, K: number, E: number, load: Load): BenchCase => ({
  title: `T ${T}, K ${K}, E ${E}, ${loadTitle[load]}`,
  dtypes: ["f32"],
  make: (o) => {
    const experts = o.ints(routed(load, E, T * K), [T, K]);
    return {
      call: () => sortByExpert(experts, E).offsets,
      forward: { reads: 4 * T * K, writes: 12 * T * K },
    };
  },
});

export const cases = loads.flatMap((load) => [sorting(2048, 2, 8, load), sorting(2048, 8, 64, load)]);
