import { ConfigError } from "../../core/errors.ts";
import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { scale } from "../../ops/add.ts";
import { logSigmoid } from "../../ops/unary.ts";
import { checkInputs } from "./inputs.ts";
import { mean, perToken, shift, subtract, type TokenCounts } from "./pair.ts";

export interface SimpoInputs extends TokenCounts {
  chosen: Tensor;
  rejected: Tensor;
  /** Default 2. */
  beta?: number;
  /** The margin wanted, as in the paper's formula and in TRL. Default 0.5, unless gammaBetaRatio is given. */
  gamma?: number;
  /** The same over beta, as in the authors' settings: gamma = beta · gammaBetaRatio. */
  gammaBetaRatio?: number;
}

/**
 * Simple preference optimization (Meng et al. 2024, eq. 6), without a reference: the mean of
 * −log σ(β·(l_c/n_c − l_r/n_r) − γ), l the log-probabilities, n the tokens of the completions. [1] f32. Throws ConfigError
 * for both gamma and gammaBetaRatio.
 */
export function simpo(inputs: SimpoInputs): Tensor {
  checkInputs("simpo", inputs);
  const { chosen, rejected, chosenTokens, rejectedTokens, beta = 2, gamma, gammaBetaRatio } = inputs;
  if (gamma !== undefined && gammaBetaRatio !== undefined) {
    throw new ConfigError(
      `simpo: gamma is ${gamma} and gammaBetaRatio is ${gammaBetaRatio}, one of them was needed`,
      "gamma",
    );
  }
  const margin = gamma ?? (gammaBetaRatio === undefined ? 0.5 : beta * gammaBetaRatio);
  return scope(() => {
    const difference = subtract(perToken(chosen, chosenTokens), perToken(rejected, rejectedTokens));
    return scale(mean(logSigmoid(shift(scale(difference, beta), -margin))), -1);
  });
}
