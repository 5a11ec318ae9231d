import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, scale } from "../../ops/add.ts";
import { checkInputs } from "./inputs.ts";
import { checkSmoothing, mean, smoothedLogistic, subtract } from "./pair.ts";

export interface CpoInputs {
  /** Summed log-probabilities of the completions, [P] f32. */
  chosen: Tensor;
  rejected: Tensor;
  /** Mean negative log-likelihood of the chosen completions' tokens, [1]. */
  nll?: Tensor;
  /** Default 0.1. */
  beta?: number;
  /** Weight of nll. Default 1. */
  alpha?: number;
  /** Default 0. */
  labelSmoothing?: number;
}

/**
 * Contrastive preference optimization (Xu et al. 2024, eq. 3), without a reference: alpha · nll and the mean of
 * −(1−ε)·log σ(β(l_c − l_r)) − ε·log σ(−β(l_c − l_r)). [1] f32.
 */
export function cpo(inputs: CpoInputs): Tensor {
  checkInputs("cpo", inputs);
  const { chosen, rejected, nll, beta = 0.1, alpha = 1, labelSmoothing = 0 } = inputs;
  checkSmoothing("cpo", labelSmoothing);
  return scope(() => {
    const loss = mean(smoothedLogistic(scale(subtract(chosen, rejected), beta), labelSmoothing));
    return nll ? add(loss, nll, { beta: alpha }) : loss;
  });
}
