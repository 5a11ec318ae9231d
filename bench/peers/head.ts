// T tokens, D model, V vocabulary
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { linearCrossEntropy } from "../../lib/ops/linear_cross_entropy.ts";
import { type Head, headOperands } from "../ops/linear_cross_entropy.bench.ts";
import { grownAlone } from "./memory.ts";
import { inPython, type PeerCase, sumOfSquares } from "./peer_case.ts";

export const head: Head = { T: 2048, D: 512, V: 32000 };

/** The mean loss and its gradients, in the way that training computes them. */
export const headPass =
  ({ x, weight, targets }: Record<"x" | "weight" | "targets", Tensor>) =>
  () => {
    weight.version++; // as after an update
    return valueAndGrad({ x, weight }, () =>
      linearCrossEntropy(x, weight, targets, { scale: 1 / targets.size }),
    );
  };

const { T, D, V } = head;
const title = `linear + cross-entropy, D ${D} V ${V} T ${T}, fwd+bwd`;

export const headCases: readonly PeerCase[] = [
  {
    figure: "C10.time",
    title,
    dtype: "f32",
    make: (o) => {
      const inputs = headOperands(o, head);
      const pass = headPass(inputs);
      return {
        inputs,
        peers: inPython("linear_cross_entropy", {
          plain: { kind: "plain" },
          linear_cross_entropy: { kind: "functional" },
          "linear_cross_entropy, chunked": { kind: "functional_chunked" },
          "128 rows at a time": { kind: "by_hand", chunk: 128 },
          "512 rows at a time": { kind: "by_hand", chunk: 512 },
        }),
        ours: () => disposeAll(pass()),
        check: async () => {
          const { value, grads } = pass();
          const numbers = [await value.item(), await sumOfSquares(grads.x), await sumOfSquares(grads.weight)];
          disposeAll(value, grads);
          return numbers;
        },
      };
    },
  },
  {
    figure: "C10.memory",
    title: `${title}, memory over inputs and gradients ÷ logits`,
    dtype: "f32",
    measure: async ({ isa }) => {
      const bytes = await grownAlone("head", isa);
      return { value: bytes / (4 * T * V), note: `${(bytes / 2 ** 20).toFixed(1)} MiB` };
    },
  },
];
