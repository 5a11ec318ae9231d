import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { scale } from "../../ops/add.ts";
import { checkInputs } from "./inputs.ts";
import { checkSmoothing, margins, mean, type PairLossInputs, smoothedLogistic } from "./pair.ts";

export interface DpoInputs extends PairLossInputs {
  /** Share of pairs that may be labelled the wrong way round: conservative DPO (Mitchell 2023). Default 0. */
  labelSmoothing?: number;
}

/**
 * Direct preference optimization (Rafailov et al. 2023, eq. 7): the mean of −(1−ε)·log σ(βΔ) − ε·log σ(−βΔ), where Δ is
 * the difference of the log-ratios and ε is labelSmoothing. [1] f32.
 */
export function dpo(inputs: DpoInputs): Tensor {
  checkInputs("dpo", inputs);
  const { beta = 0.1, labelSmoothing = 0, ...pairs } = inputs;
  checkSmoothing("dpo", labelSmoothing);
  return scope(() => mean(smoothedLogistic(scale(margins(pairs), beta), labelSmoothing)));
}
