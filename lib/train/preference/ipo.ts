import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { square } from "../../ops/unary.ts";
import { checkInputs } from "./inputs.ts";
import { mean, type PairLossInputs, perToken, scores, shift, subtract, type TokenCounts } from "./pair.ts";

/**
 * Identity preference optimization (Azar et al. 2023, eq. 17, β is its τ): the mean of (c/n_c − r/n_r − 1/(2β))², c and r
 * the log-ratios, n the tokens of the completions. Averages over tokens are what the paper's authors used. [1] f32.
 */
export function ipo(inputs: PairLossInputs & TokenCounts): Tensor {
  checkInputs("ipo", inputs);
  const { beta = 0.1, chosenTokens, rejectedTokens, ...pairs } = inputs;
  return scope(() => {
    const { chosen, rejected } = scores(pairs);
    const margin = subtract(perToken(chosen, chosenTokens), perToken(rejected, rejectedTokens));
    return mean(square(shift(margin, -1 / (2 * beta))));
  });
}
