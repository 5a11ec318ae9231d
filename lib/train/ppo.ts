// B completions, N of their tokens laid end to end
import { ConfigError } from "../core/errors.ts";
import { checkNumber, checkOneOf, checkWhole, refuseUnknown } from "../core/options.ts";
import { scope } from "../core/scope.ts";
import { disposeAll, withoutDropout, withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { attachRewardHead, bodyParams, type ScoreHead } from "../models/score_head.ts";
import { scale, weightedSum } from "../ops/add.ts";
import { gae } from "../ops/gae.ts";
import type { OptimizerRun } from "../optim/optimizer_run.ts";
import { type TokenBatch, targetPlaces } from "../text/token_batch.ts";
import { trainLoop, type Work } from "./loop.ts";
import { hiddenOfTargets, temperedLogProbs, withRouterLoss } from "./loss.ts";
import type { PendingMetrics, StepMetrics } from "./metrics.ts";
import { listOf, mean } from "./preference/pair.ts";
import { defaultParams, type ReferencePass, referencePass } from "./reference.ts";
import { AdaptiveKl, type KlCoefficient } from "./rl/adaptive_kl.ts";
import {
  type Columns,
  type CompletionBatch,
  chooseCompletions,
  measureCompletions,
} from "./rl/completions.ts";
import { type KlEstimator, klRewards } from "./rl/kl.ts";
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
import { ppoPolicyLoss, ppoValueLoss } from "./rl/ppo_loss.ts";
import { explainedVariance, ratioMetrics } from "./rl/ratio_metrics.ts";
import type { Sample } from "./rl/rollout.ts";
import { whiten } from "./rl/whiten.ts";
import { type MeasuredLoss, TrainStep } from "./step.ts";

export interface PpoOptions extends PolicyTrainOptions {
  /**
   * The value function: `attachRewardHead` on the model that trains, or on one of its own, all of which trains then. Default: a new
   * head on the model, which checkpoints hold and which is gone when the run ends.
   */
  value?: ScoreHead;
  /** Times that a rollout is learned from. Default 4. */
  epochs?: number;
  /** Updates an epoch. Default 1. */
  minibatches?: number;
  /** Weight of the KL to the reference, fixed or adaptive. Default 0.05. */
  klCoef?: KlCoefficient;
  /** Default "k1". */
  klEstimator?: KlEstimator;
  /** Default 1 and 0.95. */
  gamma?: number;
  lambda?: number;
  /** Default 0.2 each; valueCoef 0.1. */
  clip?: number;
  valueClip?: number;
  valueCoef?: number;
  /** Divides rewards by their standard deviation. Default false. */
  whitenRewards?: boolean;
  /** Advantages with mean 0 and variance 1 over the rollout. Default true. */
  normalizeAdvantages?: boolean;
}

const keys = [
  ...policyTrainKeys,
  "value",
  "epochs",
  "minibatches",
  "klCoef",
  "klEstimator",
  "gamma",
  "lambda",
  "clip",
  "valueClip",
  "valueCoef",
  "whitenRewards",
  "normalizeAdvantages",
];

/** What the policy wrote, and what it, the reference and the value function said of each token: N numbers each. */
export interface PpoRollout {
  samples: readonly Sample[];
  batch: TokenBatch;
  /** [B+1]: where completions begin among the N tokens. */
  starts: Int32Array;
  columns: Columns<"logProbs" | "reference" | "values">;
}

/** What is learned from: for each of the N tokens. */
export type PpoTargets = Columns<"logProbs" | "values" | "advantages" | "returns">;
type Batch = CompletionBatch<keyof PpoTargets>;

/**
 * Proximal policy optimization (Schulman et al. 2017) on texts that the policy writes: each step lets it answer prompts, scores the
 * answers, and learns from them in epochs · minibatches updates. The KL to a reference counts against the reward (Ziegler et al.
 * 2019). Metrics: rollout/{score, scoreDeviation, length, stopped}, objective/{reward, kl, klCoef}, policy/{loss, clipFraction,
 * approxKl, ratio, entropy}, value/{loss, explainedVariance}, seconds/{rollout, score, learn}.
 * @throws ConfigError for settings out of range, no prompt left, or a reward that is no finite number: nothing has changed then.
 */
export async function* trainPpo(options: PpoOptions): AsyncGenerator<StepMetrics, void, void> {
  const run = await ppo(options);
  try {
    const { params, fingerprint } = run;
    yield* trainLoop({ ...options, params, name: "trainPpo", work: run, fingerprint });
  } finally {
    run.dispose();
  }
}

/**
 * The parts that `trainPpo` is made of, for loops of your own: `rollout`, `score`, `advantages`, `update`, with an optimizer that
 * was made for `params`. Dispose it.
 */
export async function ppo(options: PpoOptions): Promise<Ppo> {
  refuseUnknown("trainPpo", options, keys);
  const { epochs = 4, minibatches = 1, clip = 0.2, valueClip = 0.2, valueCoef = 0.1 } = options;
  checkWhole("trainPpo", { epochs, minibatches }, 1);
  for (const [key, value] of Object.entries({ clip, valueClip, valueCoef })) {
    if (value > 0 && Number.isFinite(value)) continue;
    throw new ConfigError(`trainPpo: ${key} is ${value}, a number above 0 was needed`, key);
  }
  const { gamma = 1, lambda = 0.95, klEstimator = "k1" } = options;
  checkNumber("trainPpo", { gamma, lambda }, 0, 1);
  checkOneOf("trainPpo", "klEstimator", klEstimator, ["k1", "k2", "k3"]);
  const policy = await PolicyRun.open("trainPpo", options);
  checkMinibatches("trainPpo", minibatches, options.batchSize ?? kPrompts);
  return new Ppo(options, policy);
}

/** A run of proximal policy optimization: made by `ppo`, used by `trainPpo`. */
export class Ppo implements Work {
  /** What trains: the policy's parameters, and under "value." the value function's. */
  readonly params: Record<string, Tensor>;
  /** The value function, which belongs to whoever made it. */
  readonly value: ScoreHead;
  readonly fingerprint: Record<string, unknown>;
  readonly numbers: { klCoef: number };
  readonly state: Readonly<Record<string, Tensor>> | undefined;
  private readonly learning: Learning<Batch>;
  private readonly reference: ReferencePass<TokenBatch>;
  private readonly kl: AdaptiveKl;
  private readonly ownValue: boolean;

  /** @internal Use `ppo`. */
  constructor(
    private readonly options: PpoOptions,
    private readonly policy: PolicyRun,
  ) {
    const { model, params = defaultParams(model), seed = 0, epochs = 4, minibatches = 1 } = options;
    const {
      klCoef = 0.05,
      klEstimator = "k1",
      gamma = 1,
      lambda = 0.95,
      clip = 0.2,
      valueClip = 0.2,
    } = options;
    const { valueCoef = 0.1, whitenRewards = false, normalizeAdvantages = true } = options;
    this.kl = new AdaptiveKl("trainPpo", klCoef);
    this.numbers = this.kl.numbers;
    this.reference = referencePass(
      "trainPpo",
      model,
      params,
      policy.reference,
      (of, batch) => temperedLogProbs(of, batch, options).logProbs,
      { moves: (options.referenceDecay ?? 1) !== 1 },
    );
    this.state = this.reference.snapshot && prefixed("reference.", this.reference.snapshot.tensors);
    this.ownValue = options.value === undefined;
    this.value = options.value ?? attachRewardHead(model, { seed });
    const separate = this.value.model !== model;
    const valueParams = separate
      ? { ...bodyParams(this.value.model), ...this.value.params }
      : this.value.params;
    this.params = { ...params, ...prefixed("value.", valueParams) };
    const train = new TrainStep<Batch>(
      model,
      this.params,
      {
        loss: (batch, whole) => withoutDropout(() => this.loss(batch, whole)),
        count: (batch) => batch.starts.at(-1)!,
      },
      seed,
    );
    const { accumulationSteps = 1 } = options;
    this.learning = new Learning(train, { epochs, minibatches, accumulationSteps, seed });
    this.fingerprint = {
      ...policy.fingerprint,
      ...{ epochs, minibatches, klCoef, klEstimator, gamma, lambda, clip, valueClip, valueCoef },
      ...{ whitenRewards, normalizeAdvantages },
    };
  }

  /** The policy's answers to the prompts of step `step`, counted from 1. */
  async rollout(step: number): Promise<PpoRollout> {
    const { samples, batch } = await this.policy.rollout(step);
    const { model, accumulationSteps = 1, minibatches = 1 } = this.options;
    const size = Math.ceil(samples.length / (accumulationSteps * minibatches));
    const columns = await measureCompletions(samples, size, (part) => {
      const { logProbs, hidden } = temperedLogProbs(model, part, this.options);
      return { logProbs, values: this.valuesOf(hidden, part), reference: this.reference.run(part) };
    });
    return { samples, batch, starts: targetPlaces(batch).starts, columns };
  }

  /** The score of each sample, [B]. */
  score({ samples }: PpoRollout): Promise<Float32Array> {
    return this.policy.score(samples);
  }

  /** Rewards a token, advantages and returns: what `update` learns from. */
  async advantages({ starts, columns }: PpoRollout, scores: Float32Array): Promise<PpoTargets> {
    const { klEstimator: estimator = "k1", gamma = 1, lambda = 0.95 } = this.options;
    const { whitenRewards = false, normalizeAdvantages = true } = this.options;
    const { device } = this.options.model;
    const targets = scope(() => {
      const list = (values: Float32Array): Tensor => device.tensor(values, [values.length]);
      const rewards = klRewards({
        policy: list(columns.logProbs),
        reference: list(columns.reference),
        scores: list(scores),
        offsets: starts,
        klCoef: this.numbers.klCoef,
        estimator,
        whiten: whitenRewards,
      });
      const values = list(columns.values);
      const { advantages, returns } = gae({ rewards, values, offsets: starts, gamma, lambda });
      return { advantages: normalizeAdvantages ? whiten(advantages) : advantages, returns };
    });
    try {
      const [advantages, returns] = await Promise.all([targets.advantages.data(), targets.returns.data()]);
      const { logProbs, values } = columns;
      return { logProbs, values, advantages: advantages as Float32Array, returns: returns as Float32Array };
    } finally {
      disposeAll(targets);
    }
  }

  /** epochs · minibatches updates; `optimizer` was made for `params`. */
  update(step: number, rollout: PpoRollout, targets: PpoTargets, optimizer: OptimizerRun): Promise<Learned> {
    const { samples, starts } = rollout;
    const minibatch = (chosen: readonly number[]): Batch =>
      chooseCompletions(samples, starts, targets, chosen);
    return this.learning.from(step, samples.length, minibatch, optimizer);
  }

  /** One step of `trainPpo`: rollout, score, advantages, update. */
  async run(step: number, optimizer: OptimizerRun): Promise<PendingMetrics> {
    const clock = new Stopwatch();
    const rollout = await clock.time("rollout", () => this.rollout(step));
    const scores = await clock.time("score", () => this.score(rollout));
    this.options.signal?.throwIfAborted();
    const { lr, scalars, targets } = await clock.time("learn", async () => {
      const targets = await this.advantages(rollout, scores);
      return { targets, ...(await this.update(step, rollout, targets, optimizer)) };
    });
    const { samples, batch, columns } = rollout;
    const kl = klOf(columns, samples.length);
    const { klCoef } = this.numbers;
    this.kl.observe(kl, samples.length);
    const { referenceDecay = 1 } = this.options;
    if (referenceDecay !== 1) this.reference.snapshot?.follow(referenceDecay);
    const reported = this.policy.metrics(rollout, scores, clock);
    const metrics = {
      ...scalars,
      ...reported,
      "objective/kl": kl,
      "objective/klCoef": klCoef,
      "objective/reward": reported["rollout/score"]! - klCoef * kl,
      "value/explainedVariance": explainedVariance(columns.values, targets.returns),
    };
    return pendingOf(step, lr, batch.tokens.length, metrics, clock);
  }

  repeat(step: number): void {
    this.learning.repeat(step);
  }

  dispose(): void {
    this.reference.snapshot?.dispose();
    if (this.ownValue) this.value.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The value before each token, [N]: from the policy's hidden states, or those of a model of its own. */
  private valuesOf(hidden: Tensor, batch: TokenBatch): Tensor {
    const { model } = this.value;
    if (model === this.options.model) return this.value.valuesOf(hidden);
    const { recompute = false } = this.options;
    return this.value.valuesOf(hiddenOfTargets(model, batch, { recompute }).hidden);
  }

  private readonly loss = (batch: Batch, whole: number): MeasuredLoss => {
    const { options } = this;
    const { clip = 0.2, valueClip = 0.2, valueCoef = 0.1 } = options;
    const { logProbs, entropy, hidden, routings } = temperedLogProbs(options.model, batch, options);
    const column = (name: keyof PpoTargets): Tensor => listOf(logProbs, batch.columns[name]);
    const oldLogProbs = column("logProbs");
    const policy = ppoPolicyLoss({
      logProbs,
      oldLogProbs,
      advantages: column("advantages"),
      clip,
      count: whole,
    });
    const value = ppoValueLoss({
      values: this.valuesOf(hidden, batch),
      oldValues: column("values"),
      returns: column("returns"),
      clip: valueClip,
      count: whole,
    });
    const share = batch.starts.at(-1)! / whole;
    const total = weightedSum([
      { value: policy, weight: 1 },
      { value, weight: valueCoef },
    ]);
    const { loss, auxLoss, zLoss } = withRouterLoss(total, routings, options, share);
    return {
      loss,
      metrics: {
        auxLoss,
        zLoss,
        "policy/loss": scale(policy, 1 / share),
        "value/loss": scale(value, 1 / share),
        "policy/entropy": mean(entropy),
        ...withoutGrad(() => ratioMetrics(logProbs, oldLogProbs, clip, clip)),
      },
    };
  };
}
