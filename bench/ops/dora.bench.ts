import { scope } from "../../lib/core/scope.ts";
import { doraCompose, doraNorm, rowSumSquares } from "../../lib/ops/dora.ts";
import { sortByExpert } from "../../lib/ops/sort_by_expert.ts";
import { routed } from "../routing.ts";
import type { BenchCase } from "../workload.ts";

const E = 8;
const N = 1024;
const K = 512;
const r = 16;
const T = 2048;

export const cases: BenchCase[] = [
  {
    title: `doraNorm, E ${E}, N ${N}, K ${K}, r ${r}`,
    make: (o) => {
      const weight = o.normal([E, N, K]);
      const square = rowSumSquares(weight);
      const a = o.normal([E, r, K]);
      const b = o.normal([E, N, r]);
      return {
        call: () => doraNorm(weight, square, a, b, 2),
        forward: {
          flops: 2 * E * (N * K * r + N * r * r + K * r * r),
          reads: o.bytes * E * (N * K + r * K + N * r) + 4 * E * N,
          writes: 4 * E * N,
        },
      };
    },
  },
  {
    title: `rowSumSquares, E ${E}, N ${N}, K ${K}`,
    make: (o) => {
      const weight = o.normal([E, N, K]);
      return {
        call: () => rowSumSquares(weight),
        forward: { reads: o.bytes * E * N * K, writes: 4 * E * N },
      };
    },
  },
  {
    title: `doraCompose, T ${T}, K 2, N ${N}, E ${E}`,
    make: (o) => {
      const v = o.normal([2 * T, N]);
      const magnitude = o.normal([E, N]);
      const norm = o.normal([E, N], { dtype: "f32" });
      const experts = o.ints(routed("uniform", E, 2 * T), [T, 2]);
      const offsets = scope(() => sortByExpert(experts, E).offsets);
      const bytes = o.bytes * 2 * T * N;
      return {
        activations: [v],
        weights: [magnitude],
        call: () => doraCompose(v, magnitude, norm, { offsets }),
        forward: { reads: bytes, writes: bytes },
        backward: { reads: 2 * bytes, writes: bytes },
      };
    },
  },
];
