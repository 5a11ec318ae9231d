import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, scale } from "../../ops/add.ts";
import { sigmoid } from "../../ops/unary.ts";
import { checkInputs } from "./inputs.ts";
import { logRatios, mean, type PairLogProbs, subtract } from "./pair.ts";

type ApoInputs = PairLogProbs & { beta?: number };

/**
 * Anchored preference optimization, zero (D'Oosterlinck et al. 2024, eq. 7), for pairs of which chosen is better than what
 * the model says: the mean of (1 − σ(βc)) + σ(βr), c and r the log-ratios. [1] f32.
 */
export function apoZero(inputs: ApoInputs): Tensor {
  checkInputs("apoZero", inputs);
  const { beta = 0.1, ...pairs } = inputs;
  return scope(() => {
    const { chosen, rejected } = logRatios(pairs);
    return mean(add(sigmoid(scale(chosen, -beta)), sigmoid(scale(rejected, beta))));
  });
}

/**
 * Anchored preference optimization, down (eq. 8), for pairs of which chosen is worse than what the model says: the mean of
 * σ(βc) + (1 − σ(β(c − r))). [1] f32.
 */
export function apoDown(inputs: ApoInputs): Tensor {
  checkInputs("apoDown", inputs);
  const { beta = 0.1, ...pairs } = inputs;
  return scope(() => {
    const { chosen, rejected } = logRatios(pairs);
    return mean(add(sigmoid(scale(chosen, beta)), sigmoid(scale(subtract(chosen, rejected), -beta))));
  });
}
