import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import { scope } from "../core/scope.ts";
import type { Tensor } from "../core/tensor.ts";
import type { ForwardOptions, Model } from "../models/model.ts";
import { weightedSum } from "../ops/add.ts";
import { linearCrossEntropy, tokenLogProb } from "../ops/linear_cross_entropy.ts";
import { type LoadBalancing, loadBalancingLoss, routerZLoss } from "../ops/router_loss.ts";
import { segmentSum } from "../ops/segment_sum.ts";
import { type TokenBatch, targetCount } from "../text/token_batch.ts";

export interface LanguageModelLossOptions extends ForwardOptions {
  /** Weight of the load-balancing loss. Default 0: not computed. */
  auxLossCoef?: number;
  /** Its convention. Default "hf". */
  auxLoss?: LoadBalancing;
  /** Weight of the router z-loss. Default 0. */
  zLossCoef?: number;
  /** Targets to divide by, when the batch is one part of a larger one. Default: those of the batch. */
  targets?: number;
}

const forwardKeys = ["recompute"];
const keys = [...forwardKeys, "auxLossCoef", "auxLoss", "zLossCoef", "targets"];

/** The loss and its parts, each a scalar [1]. */
export interface LossParts {
  loss: Tensor;
  crossEntropy: Tensor;
  auxLoss?: Tensor | undefined;
  zLoss?: Tensor | undefined;
}

/**
 * Mean cross-entropy over the targets ≠ −100, plus weighted router losses, [1] f32. Throws ConfigError for a batch without
 * targets, or a router loss on a dense model.
 */
export function languageModelLoss(
  model: Model,
  batch: TokenBatch,
  options: LanguageModelLossOptions = {},
): Tensor {
  refuseUnknown("languageModelLoss", options, keys);
  return scope(() => lossParts(model, batch, options).loss);
}

/** The same, with its parts. With `targets`, router losses count by this batch's share of them. */
export function lossParts(
  model: Model,
  batch: TokenBatch,
  options: LanguageModelLossOptions = {},
): LossParts {
  const own = targetCount(batch);
  const { auxLossCoef = 0, auxLoss = "hf", zLossCoef = 0, targets = own, recompute = false } = options;
  if (targets === 0)
    throw new ConfigError("languageModelLoss: the batch has no targets, at least one was needed", "batch");
  if (auxLoss !== "hf" && auxLoss !== "switch") {
    throw new ConfigError(
      `languageModelLoss: auxLoss is "${auxLoss}", "hf" or "switch" was needed`,
      "auxLoss",
    );
  }
  const input = model.upload(batch);
  const { hidden, routings } = model.forward(input, { recompute });
  if ((auxLossCoef !== 0 || zLossCoef !== 0) && routings.length === 0) {
    throw new ConfigError(
      `languageModelLoss: a router loss on ${model.config.modelType}, which has no router`,
      "auxLossCoef",
    );
  }
  const { head } = model.parts;
  const crossEntropy = model.device.at("lm_head", () =>
    linearCrossEntropy(hidden, head.weight, input.targets, { scale: 1 / targets }),
  );
  const share = own / targets;
  const aux = auxLossCoef === 0 ? undefined : loadBalancingLoss(routings, auxLoss);
  const z = zLossCoef === 0 ? undefined : routerZLoss(routings);
  const loss = weightedSum([
    { value: crossEntropy, weight: 1 },
    ...(aux ? [{ value: aux, weight: auxLossCoef * share }] : []),
    ...(z ? [{ value: z, weight: zLossCoef * share }] : []),
  ]);
  return { loss, crossEntropy, auxLoss: aux, zLoss: z };
}

/** Summed log-probability of each document's targets, [B] f32. */
export function logProbs(model: Model, batch: TokenBatch, options: ForwardOptions = {}): Tensor {
  refuseUnknown("logProbs", options, forwardKeys);
  return scope(() => {
    const input = model.upload(batch);
    const { hidden } = model.forward(input, options);
    return segmentSum(tokenLogProb(hidden, model.parts.head.weight, input.targets), input.offsets);
  });
}
