import type { LoadBalancing } from "../ops/router_loss.ts";
import type { BatchSource } from "../text/token_batch.ts";
import { batchSteps } from "./batch_steps.ts";
import { evaluateLoss } from "./evaluate.ts";
import { type TrainOptions, trainKeys, trainLoop } from "./loop.ts";
import { lossParts } from "./loss.ts";
import type { StepMetrics } from "./metrics.ts";
import type { PhasePlan } from "./phases.ts";

/** What trainers on the language-model loss take. */
export interface LanguageModelTrainOptions extends TrainOptions {
  /** Weight of the load-balancing loss. Default 0. */
  auxLossCoef?: number;
  /** Its convention, "hf" (layers pooled) or "switch" (per layer). Default "hf". */
  auxLoss?: LoadBalancing;
  /** Weight of the router z-loss. Default 0. */
  zLossCoef?: number;
  /** Runs layers again in the backward pass instead of keeping their activations. Default false. */
  recompute?: boolean;
}

/** The keys of LanguageModelTrainOptions. */
export const languageModelTrainKeys = [
  ...trainKeys,
  "auxLossCoef",
  "auxLoss",
  "zLossCoef",
  "recompute",
] as const;

/** The loop with the language-model loss on a source's batches. */
export function trainLanguageModel(
  options: LanguageModelTrainOptions & {
    name: string;
    source: BatchSource;
    phases?: PhasePlan;
    fingerprint?: Record<string, unknown>;
  },
): AsyncGenerator<StepMetrics, void, void> {
  const { auxLossCoef = 0, auxLoss = "hf", zLossCoef = 0, recompute = false, ...rest } = options;
  return trainLoop({
    ...rest,
    work: batchSteps({
      ...rest,
      objective: {
        loss: (batch, targets) => {
          const parts = lossParts(rest.model, batch, { auxLossCoef, auxLoss, zLossCoef, recompute, targets });
          const { loss, auxLoss: aux, zLoss, sources } = parts;
          return { loss, metrics: { auxLoss: aux, zLoss }, sources };
        },
      },
      forgets: true,
      validate: (batches) => evaluateLoss(rest.model, batches).then((loss) => ({ loss })),
    }),
    fingerprint: { auxLossCoef, auxLoss, zLossCoef, ...rest.fingerprint },
  });
}
