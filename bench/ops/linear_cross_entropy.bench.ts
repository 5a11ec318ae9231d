import { Random } from "../../lib/core/random.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { linearCrossEntropy } from "../../lib/ops/linear_cross_entropy.ts";
import type { BenchCase, Operands } from "../workload.ts";

// T tokens, D model, V vocabulary
export interface Head {
  T: number;
  D: number;
  V: number;
}

export function headOperands(o: Operands, { T, D, V }: Head): Record<"x" | "weight" | "targets", Tensor> {
  const random = new Random(5);
  const x = o.normal([T, D]);
  const weight = o.normal([V, D], { std: 0.02 });
  const targets = o.ints(
    Array.from({ length: T }, () => random.below(V)),
    [T],
  );
  return { x, weight, targets };
}

const head = (T: number, D: number, V: number): BenchCase => ({
  title: `T ${T}, D ${D}, V ${V}`,
  make: (o) => {
    const { x, weight, targets } = headOperands(o, { T, D, V });
    const reads = o.bytes * (T * D + V * D);
    return {
      activations: [x],
      weights: [weight],
      call: () => linearCrossEntropy(x, weight, targets, { scale: 1 / T }),
      forward: { flops: 2 * T * D * V, reads, writes: 4 },
      backward: { flops: 4 * T * D * V, reads, writes: o.bytes * T * D + 4 * V * D },
    };
  },
});

export const cases = [head(1024, 512, 8192), head(512, 512, 32000)];
