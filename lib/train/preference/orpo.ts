import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add } from "../../ops/add.ts";
import { log1mExp, logSigmoid } from "../../ops/unary.ts";
import { checkInputs } from "./inputs.ts";
import { mean, perToken, subtract, type TokenCounts } from "./pair.ts";

export interface OrpoInputs extends TokenCounts {
  /** Log-probabilities of the completions, [P] f32. */
  chosen: Tensor;
  rejected: Tensor;
  /** Mean negative log-likelihood of what was chosen, [1]. */
  nll: Tensor;
  /** Weight of the odds ratio, the paper's λ. Default 0.1. */
  beta?: number;
}

/**
 * Odds ratio preference optimization (Hong et al. 2024, eqs. 6 and 7), without a reference: nll − β · the mean of
 * log σ(log odds(p_c) − log odds(p_r)), where log p is the average over tokens and odds(p) = p / (1 − p). [1] f32.
 */
export function orpo(inputs: OrpoInputs): Tensor {
  checkInputs("orpo", inputs);
  const { chosen, rejected, chosenTokens, rejectedTokens, nll, beta = 0.1 } = inputs;
  return scope(() => {
    const odds = subtract(
      logOdds(perToken(chosen, chosenTokens)),
      logOdds(perToken(rejected, rejectedTokens)),
    );
    return add(nll, mean(logSigmoid(odds)), { beta: -beta });
  });
}

const logOdds = (logP: Tensor): Tensor => subtract(logP, log1mExp(logP));
