import type { LoadBalancing } from "../ops/router_loss.ts";
import type { BatchSource } from "../text/token_batch.ts";
import { batchSteps } from "./batch_steps.ts";
import { evaluateLoss } from "./evaluate.ts";
import { type TrainOptions, trainKeys, trainLoop } from "./loop.ts";
import { lossParts } from "./loss.ts";
import type { StepMetrics } from "./metrics.ts";
import type { PhasePlan } from "./phases.ts";
import { biasBalance } from "./router_bias.ts";

/** What trainers on the language-model loss take. */
export interface LanguageModelTrainOptions extends TrainOptions {
  /** Weight of the load-balancing loss. Default 0. */
  auxLossCoef?: number;
  /** Its convention, "hf" (layers pooled) or "switch" (per layer). Default "hf". */
  auxLoss?: LoadBalancing;
  /** Weight of the router z-loss. Default 0. */
  zLossCoef?: number;
  /**
   * Balance without a loss (Wang et al. 2024, arXiv 2408.15664): each router gets a bias that counts in its choice of experts, not in
   * their weights, and each update moves it by this much, up for experts below the mean load, down for those above. DeepSeek-V3:
   * 0.001. The biases stay with the model: it is saved and runs with them. Default 0: they aren't moved.
   */
  routerBiasRate?: number;
  /** Runs layers again in the backward pass instead of keeping their activations. Default false. */
  recompute?: boolean;
}

/** The keys of LanguageModelTrainOptions. */
export const languageModelTrainKeys = [
  ...trainKeys,
  "auxLossCoef",
  "auxLoss",
  "zLossCoef",
  "routerBiasRate",
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
  const { auxLossCoef = 0, auxLoss = "hf", zLossCoef = 0, routerBiasRate = 0, recompute, ...rest } = options;
  const { model, name } = rest;
  const balance = routerBiasRate === 0 ? undefined : biasBalance(name, model, routerBiasRate);
  return trainLoop({
    ...rest,
    work: batchSteps({
      ...rest,
      objective: {
        loss: (batch, targets) => {
          const parts = lossParts(model, batch, { auxLossCoef, auxLoss, zLossCoef, recompute, targets });
          const { loss, auxLoss: aux, zLoss, sources, routings } = parts;
          return { loss, metrics: { auxLoss: aux, zLoss }, sources, routings };
        },
        ...(balance && { balance }),
      },
      state: model.routerBias,
      forgets: true,
      validate: (batches) => evaluateLoss(model, batches).then((loss) => ({ loss })),
    }),
    fingerprint: { auxLossCoef, auxLoss, zLossCoef, routerBiasRate, ...rest.fingerprint },
  });
}
