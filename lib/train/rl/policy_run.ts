// B completions
import { ConfigError } from "../../core/errors.ts";
import { checkNumber, checkWhole } from "../../core/options.ts";
import { seedOf } from "../../core/random.ts";
import type { Tensor } from "../../core/tensor.ts";
import { ScoreHead } from "../../models/score_head.ts";
import { type PromptBatch, promptBatches } from "../../text/alignment_batches.ts";
import { type AlignmentRow, type Prompt, type Prompts, readPrompts } from "../../text/alignment_rows.ts";
import type { BatchSource, TokenBatch } from "../../text/token_batch.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import { needRows, readRows, rowsSha256 } from "../alignment.ts";
import { type TrainOptions, trainKeys } from "../loop.ts";
import { checkRouterLoss, type RouterLossOptions, routerLossKeys } from "../loss.ts";
import type { PendingMetrics } from "../metrics.ts";
import { defaultReference, type Reference } from "../reference.ts";
import {
  kMaxNewTokens,
  type RewardFunction,
  type RolloutOptions,
  rolloutKeys,
  rolloutOf,
  type Sample,
  scoresOf,
} from "./rollout.ts";

/** Prompts of a step, unless the options say so. */
export const kPrompts = 32;

/**
 * What trainers that let the policy write take. `accumulationSteps` cuts what an update learns from into so many parts, to save memory:
 * `batchSize` is the whole. An adapter's dropout is off.
 */
export interface PolicyTrainOptions
  extends Omit<TrainOptions, "validation">,
    RouterLossOptions,
    RolloutOptions {
  /** What trains. Default: an attached adapter's, or else all of the model's parameters. */
  params?: Record<string, Tensor>;
  /** Prompts: rows `{ prompt }`, the path of a `.jsonl` or `.parquet` file of rows, or what readPrompts gave. */
  data: readonly AlignmentRow[] | string | Prompts;
  tokenizer: Tokenizer;
  /** A function of yours, or a reward model, the head of another model than the one that trains. */
  reward: RewardFunction | ScoreHead;
  /** Prompts of a step. Default 32. */
  batchSize?: number;
  /** Another order in each epoch, which `seed` decides. Default true; false: as given. */
  shuffle?: boolean;
  /** Most tokens of a prompt; longer ones are left out. Default: the positions of the model − maxNewTokens. */
  maxLength?: number;
  /** What the policy is held near to. Default: the model without its adapter, if it has one, or else "initial". */
  reference?: Reference;
  /**
   * With reference "initial": after each step the reference moves towards the policy, to referenceDecay · itself + the rest (Xu et
   * al. 2024, §5). Default 1: it stays.
   */
  referenceDecay?: number;
  /** Subtracted from the score of a completion that was cut off at maxNewTokens. Default 0. */
  missingEosPenalty?: number;
  /** Scores count from −scoreClip to scoreClip. Default: as they are. */
  scoreClip?: number;
  /** Runs layers again in the backward pass instead of keeping their activations. Default false. */
  recompute?: boolean;
}

export const policyTrainKeys = [
  ...trainKeys.filter((key) => key !== "validation"),
  ...routerLossKeys,
  ...rolloutKeys,
  "data",
  "tokenizer",
  "reward",
  "batchSize",
  "shuffle",
  "maxLength",
  "reference",
  "referenceDecay",
  "missingEosPenalty",
  "scoreClip",
  "recompute",
];

/** The prompts of a run, and the policy's answers to them. */
export class PolicyRun {
  private constructor(
    readonly name: string,
    readonly options: PolicyTrainOptions,
    readonly reference: Reference,
    private readonly prompts: BatchSource<PromptBatch>,
    /** What makes this run this run. */
    readonly fingerprint: Record<string, unknown>,
  ) {}

  /** Reads the prompts. Throws ConfigError for settings out of range, and if no prompt is left. */
  static async open(name: string, options: PolicyTrainOptions): Promise<PolicyRun> {
    if (typeof options.model?.forward !== "function")
      throw new ConfigError(
        `${name}: model is ${typeof options.model}, what loadModel gives was needed`,
        "model",
      );
    const {
      model,
      tokenizer,
      reward,
      batchSize = kPrompts,
      shuffle = true,
      seed = 0,
      maxNewTokens = kMaxNewTokens,
    } = options;
    const { referenceDecay = 1, temperature = 1, scoreClip = 1, auxLossCoef = 0, auxLoss = "hf" } = options;
    const { reference = referenceDecay === 1 ? defaultReference(model) : "initial" } = options;
    const need = (fits: boolean, key: string, value: unknown, needed: string): void => {
      if (!fits) throw new ConfigError(`${name}: ${key} is ${value}, ${needed} was needed`, key);
    };
    checkWhole(name, { batchSize, maxNewTokens }, 1);
    need(temperature > 0, "temperature", temperature, "a number above 0");
    need(scoreClip > 0, "scoreClip", scoreClip, "a number above 0");
    need(
      referenceDecay >= 0 && referenceDecay <= 1,
      "referenceDecay",
      referenceDecay,
      "a number from 0 to 1",
    );
    need(
      typeof reward === "function" || reward instanceof ScoreHead,
      "reward",
      reward,
      "a function or a reward head",
    );
    if (referenceDecay !== 1 && reference !== "initial")
      throw new ConfigError(
        `${name}: referenceDecay moves the reference "initial", and another was given`,
        "reference",
      );
    if (reward instanceof ScoreHead && reward.model === model)
      throw new ConfigError(
        `${name}: reward is a head of the model that trains, one of another model was needed`,
        "reward",
      );
    checkNumber(name, { missingEosPenalty: options.missingEosPenalty ?? 0 }, 0);
    checkRouterLoss(name, model, options);
    const room = model.config.maxPositionEmbeddings - maxNewTokens;
    const { maxLength = room } = options;
    need(
      room >= 1,
      "maxNewTokens",
      maxNewTokens,
      `less than the model's ${model.config.maxPositionEmbeddings} positions`,
    );
    need(
      maxLength >= 1 && maxLength <= room,
      "maxLength",
      maxLength,
      `1 to ${room}, which leaves room for maxNewTokens,`,
    );
    const read = await readRows(name, { ...options, maxLength, tokenizer }, readPrompts);
    needRows(name, read.prompts, read.dropped);
    const prompts = promptBatches(read.prompts, { batchSize, seed, shuffle });
    const { topK = 0, topP = 1, missingEosPenalty = 0, accumulationSteps = 1, zLossCoef = 0 } = options;
    return new PolicyRun(name, options, reference, prompts, {
      data: rowsSha256(read.prompts),
      ...{ batchSize, shuffle, seed, accumulationSteps, maxNewTokens, temperature, topK, topP },
      ...{ referenceDecay, missingEosPenalty, scoreClip: options.scoreClip ?? null },
      ...{ auxLossCoef, auxLoss, zLossCoef },
    });
  }

  /** Lets the policy answer the prompts of step `step`, `repeats` times each, equal prompts together. */
  async rollout(step: number, repeats = 1): Promise<{ samples: readonly Sample[]; batch: TokenBatch }> {
    const { model, tokenizer, seed = 0, signal } = this.options;
    const { prompts } = await this.prompts.batch(step - 1);
    const all: Prompt[] = prompts.flatMap((prompt) => Array.from({ length: repeats }, () => prompt));
    return rolloutOf(model, tokenizer, all, { ...this.options, seed: seedOf(seed, step), signal });
  }

  /** The scores of samples, with the penalty for those without an end, clipped. */
  async score(samples: readonly Sample[]): Promise<Float32Array> {
    const { reward, missingEosPenalty = 0, scoreClip = Number.POSITIVE_INFINITY } = this.options;
    const { accumulationSteps = 1 } = this.options;
    const size = Math.ceil(samples.length / accumulationSteps);
    const scores = await orAborted(scoresOf(samples, reward, size), this.options.signal);
    return scores.map((score, i) => {
      const clipped = Math.min(Math.max(score, -scoreClip), scoreClip);
      return samples[i]!.finished === "stop" ? clipped : clipped - missingEosPenalty;
    });
  }

  /** What is reported of a rollout, its scores and the time that its parts took. */
  metrics(
    { samples, starts }: { samples: readonly Sample[]; starts: Int32Array },
    scores: Float32Array,
    clock: Stopwatch,
  ): Record<`${string}/${string}`, number> {
    const average = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / samples.length;
    const mean = average([...scores]);
    const { rollout = Number.NaN, score = Number.NaN, learn = Number.NaN } = clock.seconds;
    return {
      "rollout/score": mean,
      "rollout/scoreDeviation": Math.sqrt(average([...scores].map((s) => (s - mean) ** 2))),
      "rollout/length": starts.at(-1)! / samples.length,
      "rollout/stopped": average(samples.map(({ finished }) => (finished === "stop" ? 1 : 0))),
      "rollout/tokensPerSecond": starts.at(-1)! / rollout,
      "seconds/rollout": rollout,
      "seconds/score": score,
      "seconds/learn": learn,
    };
  }
}

/**
 * What is waited for, or the signal's reason as soon as it is aborted: a reward may hang. Until then the process stays, even if nothing
 * else of it is under way.
 */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const stay = setInterval(() => undefined, 2 ** 30);
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal?.reason);
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    clearInterval(stay);
    signal?.removeEventListener("abort", stop);
  }
}

/** Times the parts of a step. */
export class Stopwatch {
  readonly startedMs = performance.now();
  readonly seconds: Record<string, number> = {};

  async time<T>(part: string, work: () => Promise<T>): Promise<T> {
    const from = performance.now();
    const result = await work();
    this.seconds[part] = (performance.now() - from) / 1000;
    return result;
  }
}

/** The metrics of a step that is through. */
export const pendingOf = (
  step: number,
  lr: number,
  tokens: number,
  metrics: Record<string, number>,
  { startedMs }: Stopwatch,
): PendingMetrics => ({
  step,
  lr,
  tokens,
  startedMs,
  scalars: Promise.resolve(metrics),
  finishedMs: Promise.resolve(performance.now()),
});

/** The mean over B completions of the sum of k1 over their tokens. */
export const klOf = (
  { logProbs, reference }: { logProbs: Float32Array; reference: Float32Array },
  B: number,
): number => logProbs.reduce((sum, logProb, t) => sum + logProb - reference[t]!, 0) / B;

/** Prefixed, so that they can't be taken for the policy's. */
export const prefixed = (prefix: string, params: Readonly<Record<string, Tensor>>): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(params).map(([name, tensor]) => [`${prefix}${name}`, tensor]));
