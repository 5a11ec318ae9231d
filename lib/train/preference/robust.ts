import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, scale } from "../../ops/add.ts";
import { logSigmoid } from "../../ops/unary.ts";
import type { DpoInputs } from "./dpo.ts";
import { checkInputs } from "./inputs.ts";
import { checkSmoothing, margins, mean } from "./pair.ts";

/**
 * Robust DPO (Chowdhury et al. 2024): the loss whose expectation, over labels turned round with probability ε =
 * labelSmoothing, is DPO's on the true labels: the mean of (−(1−ε)·log σ(βΔ) + ε·log σ(−βΔ)) / (1 − 2ε). [1] f32.
 */
export function robust(inputs: DpoInputs): Tensor {
  checkInputs("robust", inputs);
  const { beta = 0.1, labelSmoothing = 0, ...pairs } = inputs;
  checkSmoothing("robust", labelSmoothing);
  return scope(() => {
    const x = scale(margins(pairs), beta);
    const weight = 1 / (1 - 2 * labelSmoothing);
    const right = mean(logSigmoid(x));
    const turned = mean(logSigmoid(scale(x, -1)));
    return add(right, turned, { alpha: -(1 - labelSmoothing) * weight, beta: labelSmoothing * weight });
  });
}
