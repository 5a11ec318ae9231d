import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import { scope } from "../core/scope.ts";
import { withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { ForwardOptions, Model } from "../models/model.ts";
import { scale, weightedSum } from "../ops/add.ts";
import { gatherRows } from "../ops/gather_rows.ts";
import {
  linearCrossEntropy,
  linearCrossEntropyAndLogProb,
  tokenLogProb,
  tokenLogProbAndEntropy,
} from "../ops/linear_cross_entropy.ts";
import type { Routing } from "../ops/router.ts";
import { type LoadBalancing, loadBalancingLoss, routerZLoss } from "../ops/router_loss.ts";
import { segmentSum, sum } from "../ops/segment_sum.ts";
import {
  type SourcePart,
  sourceParts,
  type TokenBatch,
  targetCount,
  targetPlaces,
} from "../text/token_batch.ts";

/** Losses on the routers of sparse layers. */
export interface RouterLossOptions {
  /** Weight of the load-balancing loss. Default 0: not computed. */
  auxLossCoef?: number;
  /** Its convention. Default "hf". */
  auxLoss?: LoadBalancing;
  /** Weight of the router z-loss. Default 0. */
  zLossCoef?: number;
}

/** The keys of RouterLossOptions. */
export const routerLossKeys = ["auxLossCoef", "auxLoss", "zLossCoef"] as const;

export interface LanguageModelLossOptions extends ForwardOptions, RouterLossOptions {
  /** Targets to divide by, when the batch is one part of a larger one. Default: those of the batch. */
  targets?: number;
}

const forwardKeys = ["recompute"];
const keys = [...forwardKeys, ...routerLossKeys, "targets"];

/** What the part of a batch that comes from one source adds to the loss. */
export interface SourceLoss {
  name: string;
  /** Targets of the part. */
  targets: number;
  /** Their mean, [1]. */
  crossEntropy: Tensor;
}

/** The loss and its parts, each a scalar [1]. */
export interface LossParts {
  loss: Tensor;
  crossEntropy: Tensor;
  /** Of each source that has targets in the batch, the mean cross-entropy over those. */
  sources: SourceLoss[];
  auxLoss?: Tensor | undefined;
  zLoss?: Tensor | undefined;
  /** Of each sparse layer. */
  routings: readonly Routing[];
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
  const { targets = own, recompute = false } = options;
  if (targets === 0)
    throw new ConfigError("languageModelLoss: the batch has no targets, at least one was needed", "batch");
  checkRouterLoss("languageModelLoss", model, options);
  const input = model.upload(batch);
  const { hidden, routings } = model.forward(input, { recompute });
  const { weight } = model.parts.head;
  const parts = sourceParts(batch).filter((part) => part.targets > 0);
  const { crossEntropy, sources } = model.device.at("lm_head", () =>
    headLoss(hidden, weight, input.targets, { parts, targets }),
  );
  return {
    crossEntropy,
    sources,
    routings,
    ...withRouterLoss(crossEntropy, routings, options, own / targets),
  };
}

/** The loss, and of each source the mean over its own targets: sums of the log-probabilities that the loss's pass makes. */
function headLoss(
  x: Tensor,
  weight: Tensor,
  ids: Tensor,
  { parts, targets }: { parts: readonly SourcePart[]; targets: number },
): Pick<LossParts, "crossEntropy" | "sources"> {
  const options = { scale: 1 / targets };
  if (parts.length > 1) {
    const { loss: crossEntropy, logProb } = linearCrossEntropyAndLogProb(x, weight, ids, options);
    const meanOf = ({ from, to, targets: own }: SourcePart) =>
      withoutGrad(() => scale(sum(logProb.view([to - from], from)), -1 / own));
    return { crossEntropy, sources: parts.map((part) => sourceLoss(part, meanOf(part))) };
  }
  const crossEntropy = linearCrossEntropy(x, weight, ids, options);
  const whole = ({ targets: own }: SourcePart) => withoutGrad(() => scale(crossEntropy, targets / own));
  return { crossEntropy, sources: parts.map((part) => sourceLoss(part, whole(part))) };
}

const sourceLoss = ({ name, targets }: SourcePart, crossEntropy: Tensor): SourceLoss => ({
  name,
  targets,
  crossEntropy,
});

/** Throws ConfigError for a convention there isn't, and for a router loss on a dense model. */
export function checkRouterLoss(where: string, model: Model, options: RouterLossOptions): void {
  const { auxLossCoef = 0, auxLoss = "hf", zLossCoef = 0 } = options;
  if (auxLoss !== "hf" && auxLoss !== "switch") {
    throw new ConfigError(`${where}: auxLoss is "${auxLoss}", "hf" or "switch" was needed`, "auxLoss");
  }
  if ((auxLossCoef !== 0 || zLossCoef !== 0) && model.config.numExperts === 0) {
    throw new ConfigError(
      `${where}: a router loss on ${model.config.modelType}, which has no router`,
      "auxLossCoef",
    );
  }
}

/** `loss` and `share` times the weighted router losses; and those themselves, unweighted. */
export function withRouterLoss(
  loss: Tensor,
  routings: readonly Routing[],
  { auxLossCoef = 0, auxLoss = "hf", zLossCoef = 0 }: RouterLossOptions,
  share: number,
): { loss: Tensor; auxLoss?: Tensor | undefined; zLoss?: Tensor | undefined } {
  const aux = auxLossCoef === 0 ? undefined : loadBalancingLoss(routings, auxLoss);
  const z = zLossCoef === 0 ? undefined : routerZLoss(routings);
  const total = weightedSum([
    { value: loss, weight: 1 },
    ...(aux ? [{ value: aux, weight: auxLossCoef * share }] : []),
    ...(z ? [{ value: z, weight: zLossCoef * share }] : []),
  ]);
  return { loss: total, auxLoss: aux, zLoss: z };
}

/** What a model says of the N targets of a batch. */
export interface TargetPass {
  /** Of each target, [N] f32. */
  logProbs: Tensor;
  /** Where each document's targets begin among the N, [D+1] i32. */
  starts: Tensor;
  /** Hidden states that the targets were predicted from, [N, D]. */
  hidden: Tensor;
  routings: Routing[];
}

/** Runs a model over a batch; its head sees the tokens before a target only. */
export function targetLogProbs(model: Model, batch: TokenBatch, options: ForwardOptions = {}): TargetPass {
  const { hidden, targets, starts, routings } = hiddenOfTargets(model, batch, options);
  const logProbs = model.device.at("lm_head", () => tokenLogProb(hidden, model.parts.head.weight, targets));
  return { logProbs, starts, hidden, routings };
}

/** The same, and the entropy of the distribution of each target, without a gradient; logits are divided by `temperature`. */
export function temperedLogProbs(
  model: Model,
  batch: TokenBatch,
  { temperature = 1, recompute = false }: ForwardOptions & { temperature?: number } = {},
): TargetPass & { entropy: Tensor } {
  const { hidden, targets, starts, routings } = hiddenOfTargets(model, batch, { recompute });
  const input = temperature === 1 ? hidden : scale(hidden, 1 / temperature);
  const { logProb: logProbs, entropy } = model.device.at("lm_head", () =>
    tokenLogProbAndEntropy(input, model.parts.head.weight, targets),
  );
  return { logProbs, entropy, starts, hidden, routings };
}

/** The hidden states that targets are predicted from, [N, D], without the head. */
export function hiddenOfTargets(model: Model, batch: TokenBatch, options: ForwardOptions) {
  const { places, starts } = targetPlaces(batch);
  const list = (ids: Int32Array): Tensor => model.device.tensor(ids, [ids.length]);
  const { hidden: all, routings } = model.forward(model.upload(batch), options);
  const targets = list(places.map((t) => batch.targets[t]!));
  return { hidden: gatherRows(all, list(places)), targets, starts: list(starts), routings };
}

/** Summed log-probability of each document's targets, [D] f32. */
export function logProbs(model: Model, batch: TokenBatch, options: ForwardOptions = {}): Tensor {
  refuseUnknown("logProbs", options, forwardKeys);
  return scope(() => {
    const tokens = targetLogProbs(model, batch, options);
    return segmentSum(tokens.logProbs, tokens.starts);
  });
}
