import { linear } from "../../lib/ops/linear.ts";
import type { BenchCase } from "../workload.ts";

const dense = (T: number, K: number, N: number, train = true): BenchCase => ({
  title: `T ${T}, ${K}→${N}`,
  make: (o) => {
    const x = o.normal([T, K]);
    const weight = o.normal([N, K], { std: 0.02 });
    const flops = 2 * T * K * N;
    const b = o.bytes;
    return {
      activations: [x],
      weights: [weight],
      call: () => linear(x, weight),
      forward: { flops, reads: b * (T * K + N * K), writes: b * T * N },
      ...(train && {
        backward: { flops: 2 * flops, reads: b * (T * N + N * K + T * K), writes: b * T * K + 4 * N * K },
      }),
    };
  },
});

/** The second half of a low-rank adapter, added to the base product in place. */
const lowRank = (T: number, r: number, N: number): BenchCase => ({
  title: `T ${T}, ${r}→${N}, onto`,
  make: (o) => {
    const x = o.normal([T, r], { std: 0.01 });
    const weight = o.normal([N, r], { std: 0.01 });
    const onto = o.normal([T, N]);
    const bytes = o.bytes * T * N;
    return {
      activations: [x],
      weights: [weight],
      call: () => linear(x, weight, { onto }),
      forward: { flops: 2 * T * r * N, reads: bytes, writes: bytes, inPlace: true },
      backward: { flops: 4 * T * r * N, reads: 2 * bytes, writes: o.bytes * T * r },
    };
  },
});

export const cases = [
  dense(2048, 512, 512),
  dense(1024, 1024, 1024),
  dense(2048, 512, 8),
  dense(2048, 1024, 16),
  lowRank(2048, 16, 1024),
  dense(1, 1024, 1024, false),
  dense(8, 1024, 1024, false),
];
