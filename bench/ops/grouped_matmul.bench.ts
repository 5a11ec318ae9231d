import { scope } from "../../lib/core/scope.ts";
import { groupedMatmul } from "../../lib/ops/grouped_matmul.ts";
import { sortByExpert } from "../../lib/ops/sort_by_expert.ts";
import { type Load, loads, loadTitle, routed } from "../routing.ts";
import type { BenchCase } from "../workload.ts";

interface Sizes {
  T: number;
  K: number;
  E: number;
  D: number;
  F: number;
}

/** The product into the experts: rows are gathered from token order, and their gradients brought back. */
const up = ({ T, K, E, D, F }: Sizes, load: Load): BenchCase => ({
  title: `T ${T} K ${K} E ${E}, ${D}→${F}, ${loadTitle[load]}`,
  make: (o) => {
    const N = T * K;
    const x = o.normal([T, D]);
    const weight = o.normal([E, F, D], { std: 0.02 });
    const experts = o.ints(routed(load, E, N), [T, K]);
    const { offsets, tokens, positions } = scope(() => {
      const { slots: _, ...rest } = sortByExpert(experts, E);
      return rest;
    });
    const gather = { rows: tokens, positions };
    const flops = 2 * N * D * F;
    return {
      activations: [x],
      weights: [weight],
      call: () => groupedMatmul(x, weight, { offsets, gather }),
      forward: { flops, reads: o.bytes * (T * D + E * D * F), writes: o.bytes * N * F },
      backward: {
        flops: 2 * flops,
        reads: o.bytes * (N * F + E * D * F + T * D),
        writes: o.bytes * T * D + 4 * E * D * F,
      },
    };
  },
});

const small: Sizes = { T: 1024, K: 2, E: 8, D: 512, F: 1024 };
const fine: Sizes = { T: 1024, K: 4, E: 64, D: 512, F: 256 };
const decode: Sizes = { T: 4, K: 2, E: 8, D: 512, F: 1024 };

export const cases = [
  ...loads.map((load) => up(small, load)),
  ...loads.map((load) => up(fine, load)),
  up(decode, "uniform"),
];
