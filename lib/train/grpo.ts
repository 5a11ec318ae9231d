// B completions: prompts, each in a group of G; N of their tokens laid end to end
import { ConfigError } from "../core/errors.ts";
import { checkNumber, checkOneOf, checkWhole, refuseUnknown } from "../core/options.ts";
import { scope } from "../core/scope.ts";
import { withoutDropout, withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { add } from "../ops/add.ts";
import { segmentSum } from "../ops/segment_sum.ts";
import type { OptimizerRun } from "../optim/optimizer_run.ts";
import { type TokenBatch, targetPlaces } from "../text/token_batch.ts";
import { trainLoop, type Work } from "./loop.ts";
import { temperedLogProbs, withRouterLoss } from "./loss.ts";
import type { PendingMetrics, StepMetrics } from "./metrics.ts";
import { listOf, mean } from "./preference/pair.ts";
import { defaultParams, type ReferencePass, referencePass } from "./reference.ts";
import {
  type Columns,
  type CompletionBatch,
  chooseCompletions,
  measureCompletions,
} from "./rl/completions.ts";
import { groupAdvantages, rlooAdvantages } from "./rl/group_advantages.ts";
import { type GrpoLossType, grpoLoss } from "./rl/grpo_loss.ts";
import { klEstimate } from "./rl/kl.ts";
import { checkMinibatches, type Learned, Learning } from "./rl/learning.ts";
import {
  klOf,
  kPrompts,
  PolicyRun,
  type PolicyTrainOptions,
  pendingOf,
  policyTrainKeys,
  prefixed,
  Stopwatch,
} from "./rl/policy_run.ts";
import { ratioMetrics } from "./rl/ratio_metrics.ts";
import { kMaxNewTokens, type Sample } from "./rl/rollout.ts";
import { type MeasuredLoss, TrainStep } from "./step.ts";

export interface GrpoOptions extends PolicyTrainOptions {
  /** Completions of each prompt. Default 8. */
  groupSize?: number;
  /** "grpo": over the group's mean, divided by `scale`. "rloo": over the mean of the others. Default "grpo". */
  advantage?: "grpo" | "rloo";
  /** See groupAdvantages. Default "group". */
  scale?: "group" | "batch" | "none";
  /** See grpoLoss. Default "dapo". */
  lossType?: GrpoLossType;
  /** Default 0.2; epsilonHigh: as epsilonLow. */
  epsilonLow?: number;
  epsilonHigh?: number;
  /** Weight of the KL to the reference: by k3 in the loss; with "rloo" taken off the scores. Default 0, "rloo" 0.05. */
  beta?: number;
  /** Times that a rollout is learned from. Default 1. */
  epochs?: number;
  /** Updates an epoch. Default 1. */
  minibatches?: number;
}

const keys = [
  ...policyTrainKeys,
  "groupSize",
  "advantage",
  "scale",
  "lossType",
  "epsilonLow",
  "epsilonHigh",
  "beta",
  "epochs",
  "minibatches",
];

/** What the policy wrote, and what it and the reference said of each token: N numbers each. */
export interface GrpoRollout {
  samples: readonly Sample[];
  batch: TokenBatch;
  /** [B+1]: where completions begin among the N tokens. */
  starts: Int32Array;
  columns: Columns<"logProbs" | "reference">;
}

interface Batch extends CompletionBatch<"logProbs" | "reference"> {
  /** Of each completion, [b]. */
  readonly advantages: Float32Array;
}

/**
 * Group relative policy optimization (Shao et al. 2024) and its kin: each step lets the policy answer prompts, a group of times each,
 * scores the answers, and learns from how each compares with its group; no value function. `advantage: "rloo"` is REINFORCE
 * leave-one-out (Ahmadian et al. 2024). Metrics: rollout/{score, scoreDeviation, length, stopped, sameScores}, objective/kl,
 * policy/{clipFraction, approxKl, ratio, entropy}, seconds/{rollout, score, learn}.
 * @throws ConfigError for settings out of range, no prompt left, or a reward that is no finite number: nothing has changed then.
 */
export async function* trainGrpo(options: GrpoOptions): AsyncGenerator<StepMetrics, void, void> {
  const run = await grpo(options);
  try {
    const { params, fingerprint } = run;
    yield* trainLoop({ ...options, params, name: "trainGrpo", work: run, fingerprint });
  } finally {
    run.dispose();
  }
}

/**
 * The parts that `trainGrpo` is made of, for loops of your own: `rollout`, `score`, `advantages`, `update`, with an optimizer that
 * was made for `params`. Dispose it.
 */
export async function grpo(options: GrpoOptions): Promise<Grpo> {
  const name = "trainGrpo";
  refuseUnknown(name, options, keys);
  const { groupSize = 8, advantage = "grpo", epochs = 1, minibatches = 1, beta = 0 } = options;
  const { scale: by = "group", lossType = "dapo", epsilonLow = 0.2, epsilonHigh = epsilonLow } = options;
  checkWhole(name, { groupSize }, 2);
  checkWhole(name, { epochs, minibatches }, 1);
  checkOneOf(name, "advantage", advantage, ["grpo", "rloo"]);
  checkOneOf(name, "scale", by, ["group", "batch", "none"]);
  checkOneOf(name, "lossType", lossType, ["grpo", "dapo", "dr_grpo", "gspo"]);
  checkNumber(name, { epsilonLow, epsilonHigh, beta }, 0);
  if (advantage === "rloo" && options.scale !== undefined)
    throw new ConfigError(`${name}: scale is no setting of rloo, which divides by nothing`, "scale");
  if ((options.referenceDecay ?? 1) !== 1 && beta === 0 && advantage === "grpo") {
    const what = "referenceDecay is given and beta is 0, which needs no reference";
    throw new ConfigError(`${name}: ${what}; a beta above 0 was needed`, "referenceDecay");
  }
  const policy = await PolicyRun.open("trainGrpo", options);
  checkMinibatches("trainGrpo", minibatches, (options.batchSize ?? kPrompts) * groupSize);
  return new Grpo(options, policy);
}

/** A run of group relative policy optimization: made by `grpo`, used by `trainGrpo`. */
export class Grpo implements Work {
  readonly params: Record<string, Tensor>;
  readonly fingerprint: Record<string, unknown>;
  readonly state: Readonly<Record<string, Tensor>> | undefined;
  private readonly settings;
  private readonly learning: Learning<Batch>;
  /** What a batch counts by: tokens, where the loss is a mean over them, or else completions. */
  private readonly count: (batch: Batch) => number;
  private readonly reference: ReferencePass<TokenBatch> | undefined;

  /** @internal Use `grpo`. */
  constructor(
    private readonly options: GrpoOptions,
    private readonly policy: PolicyRun,
  ) {
    const { model, params = defaultParams(model), seed = 0, groupSize = 8, advantage = "grpo" } = options;
    const { scale: by = "group", lossType = "dapo", epsilonLow = 0.2, epochs = 1, minibatches = 1 } = options;
    const { epsilonHigh = epsilonLow, beta = advantage === "rloo" ? 0.05 : 0 } = options;
    this.settings = {
      ...{ groupSize, advantage, scale: by, lossType, epsilonLow, epsilonHigh, beta, epochs, minibatches },
    };
    this.params = params;
    this.count = (batch) => (lossType === "dapo" ? batch.starts.at(-1)! : batch.chosen.length);
    const loss = (batch: Batch, whole: number) => withoutDropout(() => this.loss(batch, whole));
    const train = new TrainStep(model, params, { loss, count: this.count }, seed);
    const { accumulationSteps = 1 } = options;
    this.learning = new Learning(train, { epochs, minibatches, accumulationSteps, seed });
    const pass = (of: typeof model, batch: TokenBatch): Tensor =>
      temperedLogProbs(of, batch, options).logProbs;
    if (beta !== 0 || options.reference !== undefined)
      this.reference = referencePass("trainGrpo", model, params, policy.reference, pass, {
        moves: (options.referenceDecay ?? 1) !== 1,
      });
    const { snapshot } = this.reference ?? {};
    this.state = snapshot && prefixed("reference.", snapshot.tensors);
    this.fingerprint = { ...policy.fingerprint, ...this.settings };
  }

  /** The policy's answers to the prompts of step `step`, counted from 1: a group for each. */
  async rollout(step: number): Promise<GrpoRollout> {
    const { model, accumulationSteps = 1 } = this.options;
    const { groupSize, minibatches } = this.settings;
    const { samples, batch } = await this.policy.rollout(step, groupSize);
    const size = Math.ceil(samples.length / (accumulationSteps * minibatches));
    const columns = await measureCompletions(samples, size, (part) => {
      const { logProbs } = temperedLogProbs(model, part, this.options);
      return { logProbs, reference: this.reference?.run(part) ?? logProbs };
    });
    return { samples, batch, starts: targetPlaces(batch).starts, columns };
  }

  /** The score of each sample, [B]. */
  score({ samples }: GrpoRollout): Promise<Float32Array> {
    return this.policy.score(samples);
  }

  /** The advantage of each sample over its group, [B]. */
  async advantages({ starts, columns }: GrpoRollout, scores: Float32Array): Promise<Float32Array> {
    const { groupSize, advantage, scale: by, beta } = this.settings;
    const { device } = this.options.model;
    const result = scope(() => {
      const list = (values: Float32Array): Tensor => device.tensor(values, [values.length]);
      const rewards = list(scores);
      if (advantage === "grpo") return groupAdvantages({ rewards, groupSize, scale: by });
      const kl = klEstimate({ policy: list(columns.logProbs), reference: list(columns.reference) });
      const sums = segmentSum(kl, device.tensor(starts, [starts.length]));
      return rlooAdvantages({ rewards: add(rewards, sums, { beta: -beta }), groupSize });
    });
    try {
      return (await result.data()) as Float32Array;
    } finally {
      result.dispose();
    }
  }

  /** epochs · minibatches updates; `optimizer` was made for `params`. */
  update(
    step: number,
    { samples, starts, columns }: GrpoRollout,
    advantages: Float32Array,
    optimizer: OptimizerRun,
  ): Promise<Learned> {
    const minibatch = (chosen: readonly number[]): Batch => ({
      ...chooseCompletions(samples, starts, columns, chosen),
      advantages: Float32Array.from(chosen, (i) => advantages[i]!),
    });
    return this.learning.from(step, samples.length, minibatch, optimizer);
  }

  /** One step of `trainGrpo`: rollout, score, advantages, update. */
  async run(step: number, optimizer: OptimizerRun): Promise<PendingMetrics> {
    const clock = new Stopwatch();
    const rollout = await clock.time("rollout", () => this.rollout(step));
    const scores = await clock.time("score", () => this.score(rollout));
    this.options.signal?.throwIfAborted();
    const { lr, scalars } = await clock.time("learn", async () => {
      const advantages = await this.advantages(rollout, scores);
      return this.update(step, rollout, advantages, optimizer);
    });
    const { samples, batch, columns } = rollout;
    const { snapshot } = this.reference ?? {};
    const { referenceDecay = 1 } = this.options;
    if (referenceDecay !== 1) snapshot?.follow(referenceDecay);
    const metrics = {
      ...scalars,
      ...this.policy.metrics(rollout, scores, clock),
      "rollout/sameScores": sameScores(scores, this.settings.groupSize),
      ...(this.reference && { "objective/kl": klOf(columns, samples.length) }),
    };
    return pendingOf(step, lr, batch.tokens.length, metrics, clock);
  }

  repeat(step: number): void {
    this.learning.repeat(step);
  }

  dispose(): void {
    this.reference?.snapshot?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private readonly loss = (batch: Batch, whole: number): MeasuredLoss => {
    const { options } = this;
    const { lossType, epsilonLow, epsilonHigh, advantage, beta } = this.settings;
    const { logProbs, entropy, routings } = temperedLogProbs(options.model, batch, options);
    const oldLogProbs = listOf(logProbs, batch.columns.logProbs);
    const value = grpoLoss({
      logProbs,
      oldLogProbs,
      refLogProbs: listOf(logProbs, batch.columns.reference),
      advantages: listOf(logProbs, batch.advantages),
      offsets: batch.starts,
      lossType,
      epsilonLow,
      epsilonHigh,
      beta: advantage === "rloo" ? 0 : beta,
      maxLength: options.maxNewTokens ?? kMaxNewTokens,
      count: whole,
    });
    const share = this.count(batch) / whole;
    const { loss, auxLoss, zLoss } = withRouterLoss(value, routings, options, share);
    const moved = withoutGrad(() => ratioMetrics(logProbs, oldLogProbs, epsilonLow, epsilonHigh));
    return { loss, metrics: { auxLoss, zLoss, "policy/entropy": mean(entropy), ...moved } };
  };
}

/** Share of groups that nothing can be learned from. */
function sameScores(scores: Float32Array, groupSize: number): number {
  const groups = scores.length / groupSize;
  let same = 0;
  for (let g = 0; g < groups; g++) {
    const group = scores.subarray(g * groupSize, (g + 1) * groupSize);
    if (group.every((score) => score === group[0])) same++;
  }
  return same / groups;
}
