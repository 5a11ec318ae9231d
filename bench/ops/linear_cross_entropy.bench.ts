import { Random } from "../../lib/core/random.ts";
import { tokenLogProb } from "../../lib/ops/linear_cross_entropy.ts";
import type { BenchCase } from "../workload.ts";

// The backward pass computes the logits again, which doesn't count as useful work: forward and backward together can reach
// 75 % of the ceiling.
const head = (T: number, D: number, V: number): BenchCase => ({
  title: `T ${T}, D ${D}, V ${V}`,
  make: (o) => {
    const random = new Random(5);
    const x = o.normal([T, D]);
    const weight = o.normal([V, D], { std: 0.02 });
    const targets = o.ints(
      Array.from({ length: T }, () => random.below(V)),
      [T],
    );
    const reads = o.bytes * (T * D + V * D);
    return {
      activations: [x],
      weights: [weight],
      call: () => tokenLogProb(x, weight, targets),
      forward: { flops: 2 * T * D * V, reads, writes: 8 * T },
      backward: { flops: 4 * T * D * V, reads, writes: o.bytes * T * D + 4 * V * D },
    };
  },
});

export const cases = [head(1024, 512, 8192), head(512, 512, 32000)];
