import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { scale } from "../../ops/add.ts";
import { logSigmoid } from "../../ops/unary.ts";
import { checkInputs } from "./inputs.ts";
import { mean, type PairLossInputs, perToken, scores, subtract, type TokenCounts } from "./pair.ts";

/**
 * DPO on log-ratios averaged over tokens (Lambert et al. 2024, Tülu 3, §5.1): the mean of −log σ(β(c/n_c − r/n_r)). [1] f32.
 */
export function sigmoidNorm(inputs: PairLossInputs & TokenCounts): Tensor {
  checkInputs("sigmoidNorm", inputs);
  const { beta = 0.1, chosenTokens, rejectedTokens, ...pairs } = inputs;
  return scope(() => {
    const { chosen, rejected } = scores(pairs);
    const margin = subtract(perToken(chosen, chosenTokens), perToken(rejected, rejectedTokens));
    return scale(mean(logSigmoid(scale(margin, beta))), -1);
  });
}
