import { ConfigError } from "../../core/errors.ts";
import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, scale } from "../../ops/add.ts";
import { multiply } from "../../ops/binary.ts";
import { logSigmoid, sigmoid } from "../../ops/unary.ts";
import type { DpoInputs } from "./dpo.ts";
import { checkInputs } from "./inputs.ts";
import { checkSmoothing, margins, mean, shift } from "./pair.ts";

/**
 * Efficient exact optimization on pairs (Ji et al. 2024, eq. 16): the mean of KL(q ‖ p), where q = (σ(βΔ), σ(−βΔ)) and
 * p = (1 − ε, ε), ε = labelSmoothing above 0. Default 1e-3. [1] f32.
 */
export function exoPair(inputs: DpoInputs): Tensor {
  checkInputs("exoPair", inputs);
  const { beta = 0.1, labelSmoothing = 1e-3, ...pairs } = inputs;
  checkSmoothing("exoPair", labelSmoothing);
  if (labelSmoothing === 0) {
    throw new ConfigError(
      "exoPair: labelSmoothing is 0, where the loss is infinite; a number above 0, say 1e-3, was needed",
      "labelSmoothing",
    );
  }
  return scope(() => {
    const x = scale(margins(pairs), beta);
    const minus = scale(x, -1);
    const right = multiply(sigmoid(x), shift(logSigmoid(x), -Math.log1p(-labelSmoothing)));
    const turned = multiply(sigmoid(minus), shift(logSigmoid(minus), -Math.log(labelSmoothing)));
    return mean(add(right, turned));
  });
}
