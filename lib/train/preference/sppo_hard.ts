import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add } from "../../ops/add.ts";
import { square } from "../../ops/unary.ts";
import { checkInputs } from "./inputs.ts";
import { logRatios, mean, type PairLogProbs, shift } from "./pair.ts";

/**
 * Self-play preference optimization with hard labels (Wu et al. 2024, eq. 4.7 with P = 1 and 0): the mean of
 * (c − 1/(2β))² + (r + 1/(2β))², c and r the log-ratios. [1] f32.
 */
export function sppoHard(inputs: PairLogProbs & { beta?: number }): Tensor {
  checkInputs("sppoHard", inputs);
  const { beta = 0.1, ...pairs } = inputs;
  return scope(() => {
    const { chosen, rejected } = logRatios(pairs);
    return mean(add(square(shift(chosen, -0.5 / beta)), square(shift(rejected, 0.5 / beta))));
  });
}
