import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, scale } from "../../ops/add.ts";
import { multiply } from "../../ops/binary.ts";
import { exp, logSigmoid, sigmoid } from "../../ops/unary.ts";
import { checkInputs } from "./inputs.ts";
import { margins, mean, type PairLossInputs, subtract } from "./pair.ts";

/**
 * DiscoPOP (Lu et al. 2024, eq. 5), a loss found by search: the mean of (1 − m)·(−log σ(βΔ)) + m·e^(−βΔ), where
 * m = σ(βΔ/τ). tau is 0.05 by default. [1] f32.
 */
export function discopop(inputs: PairLossInputs & { tau?: number }): Tensor {
  checkInputs("discopop", inputs);
  const { beta = 0.1, tau = 0.05, ...pairs } = inputs;
  return scope(() => {
    const x = scale(margins(pairs), beta);
    const logistic = scale(logSigmoid(x), -1);
    const exponential = exp(scale(x, -1));
    const mixed = multiply(sigmoid(scale(x, 1 / tau)), subtract(exponential, logistic));
    return mean(add(logistic, mixed));
  });
}
