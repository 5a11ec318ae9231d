import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, scale } from "../../ops/add.ts";
import { logSigmoid } from "../../ops/unary.ts";
import { checkInputs } from "./inputs.ts";
import { logRatios, mean, type PairLogProbs } from "./pair.ts";

/**
 * Binary classifier optimization on pairs (Jung et al. 2024), without its running reward shift: the mean of −log σ(βc) −
 * log σ(−βr), c and r the log-ratios. [1] f32.
 */
export function bcoPair(inputs: PairLogProbs & { beta?: number }): Tensor {
  checkInputs("bcoPair", inputs);
  const { beta = 0.1, ...pairs } = inputs;
  return scope(() => {
    const { chosen, rejected } = logRatios(pairs);
    return scale(mean(add(logSigmoid(scale(chosen, beta)), logSigmoid(scale(rejected, -beta)))), -1);
  });
}
