import type { LoadBalancing } from "../ops/router_loss.ts";
import { sourceOf, type TrainingData } from "./batch_source.ts";
import { type TrainOptions, trainLoop } from "./loop.ts";
import { lossParts } from "./loss.ts";
import type { StepMetrics } from "./metrics.ts";

export interface PretrainOptions extends TrainOptions {
  data: TrainingData;
  /** Weight of the load-balancing loss. Default 0. */
  auxLossCoef?: number;
  /** Its convention, "hf" (layers pooled) or "switch" (per layer). Default "hf". */
  auxLoss?: LoadBalancing;
  /** Weight of the router z-loss. Default 0. */
  zLossCoef?: number;
  /** Runs layers again in the backward pass instead of keeping their activations. Default false. */
  recompute?: boolean;
}

/**
 * Trains a language model on packed tokens: `for await (const m of pretrain({ … })) …`, one object per update, one step
 * late. `break` ends it; so does the signal, after saving. Throws DeviceError, with step and module, for a loss or gradient
 * that isn't finite: the parameters are those before that step, and the last checkpoint stays.
 */
export function pretrain(options: PretrainOptions): AsyncGenerator<StepMetrics, void, void> {
  const { data, auxLossCoef = 0, auxLoss = "hf", zLossCoef = 0, recompute = false, ...rest } = options;
  return trainLoop({
    ...rest,
    name: "pretrain",
    source: sourceOf(data),
    loss: (batch, targets) =>
      lossParts(rest.model, batch, { auxLossCoef, auxLoss, zLossCoef, recompute, targets }),
    fingerprint: { auxLossCoef, auxLoss, zLossCoef },
  });
}
