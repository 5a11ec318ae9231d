import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { scale } from "../../ops/add.ts";
import { sort } from "../../ops/argsort.ts";
import { checkInputs } from "./inputs.ts";
import { checkSmoothing, logRatios, mean, type PairLogProbs, smoothedLogistic, subtract } from "./pair.ts";

export interface AotInputs extends PairLogProbs {
  /** Default 0.1. */
  beta?: number;
  /** Default 0. */
  labelSmoothing?: number;
}

/**
 * Alignment via optimal transport (Melnyk et al. 2024), paired: DPO's loss on the differences of order statistics over
 * the batch, policy's sorted margins against the reference's. It needs batches of more than one pair. [1] f32.
 */
export function aot(inputs: AotInputs): Tensor {
  checkInputs("aot", inputs);
  const { chosen, rejected, refChosen, refRejected, ...rest } = inputs;
  return scope(() => quantiles("aot", subtract(chosen, rejected), subtract(refChosen, refRejected), rest));
}

/** The same, unpaired: sorted log-ratios of what was chosen against those of what was rejected. [1] f32. */
export function aotUnpaired(inputs: AotInputs): Tensor {
  checkInputs("aotUnpaired", inputs);
  const { beta, labelSmoothing, ...pairs } = inputs;
  return scope(() => {
    const { chosen, rejected } = logRatios(pairs);
    return quantiles("aotUnpaired", chosen, rejected, { beta, labelSmoothing });
  });
}

function quantiles(
  name: string,
  above: Tensor,
  below: Tensor,
  { beta = 0.1, labelSmoothing = 0 }: { beta?: number | undefined; labelSmoothing?: number | undefined },
): Tensor {
  checkSmoothing(name, labelSmoothing);
  return mean(smoothedLogistic(scale(subtract(sort(above), sort(below)), beta), labelSmoothing));
}
