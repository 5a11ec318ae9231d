// B completions, N of their tokens laid end to end, T tokens with their prompts
import { ConfigError } from "../../core/errors.ts";
import { withoutGrad } from "../../core/tape.ts";
import { generateBatch } from "../../generate/batch.ts";
import type { FinishReason } from "../../generate/generate.ts";
import type { Model } from "../../models/model.ts";
import { ScoreHead } from "../../models/score_head.ts";
import { packCompletions } from "../../text/alignment_batches.ts";
import type { AlignmentRow, Prompt } from "../../text/alignment_rows.ts";
import type { TokenBatch } from "../../text/token_batch.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";

/** What the policy wrote after a prompt. */
export interface Sample {
  readonly prompt: string;
  readonly completion: string;
  readonly promptTokens: readonly number[];
  /** An end-of-text token included, where the policy came to an end. */
  readonly completionTokens: readonly number[];
  readonly finished: FinishReason;
  /** The data row that the prompt is from, with all its columns. */
  readonly row: AlignmentRow;
}

/** Scores samples, in order: any function of yours, asynchronous or not. */
export type RewardFunction = (
  samples: readonly Sample[],
) => ArrayLike<number> | PromiseLike<ArrayLike<number>>;

/** Most tokens of a completion, unless the options say so. */
export const kMaxNewTokens = 64;

/** How completions are drawn. */
export interface RolloutOptions {
  /** Most tokens of a completion. Default 64. */
  maxNewTokens?: number;
  /** Also divides the logits when log-probabilities are taken: the policy is what draws. Above 0; default 1. */
  temperature?: number;
  topK?: number;
  topP?: number;
}

export const rolloutKeys = ["maxNewTokens", "temperature", "topK", "topP"] as const;

/** Completions of prompts, drawn in one batch. */
export interface Rollout {
  readonly samples: readonly Sample[];
  /** All prompts with their completions, packed; only completions are targets. */
  readonly batch: TokenBatch;
}

/** Draws a completion for each prompt, all together. Throws the signal's reason when it is aborted. */
export async function rolloutOf(
  model: Model,
  tokenizer: Tokenizer,
  prompts: readonly Prompt[],
  options: RolloutOptions & { seed: number; signal?: AbortSignal | undefined },
): Promise<Rollout> {
  const { maxNewTokens = kMaxNewTokens, temperature = 1, topK = 0, topP = 1, seed, signal } = options;
  const promptIds = prompts.map(({ ids }) => ids);
  const drawn = await generateBatch(model, promptIds, {
    maxNewTokens,
    temperature,
    topK,
    topP,
    seed,
    ...(signal && { signal }),
  });
  const samples = prompts.map(({ ids, row }, i): Sample => {
    const completionTokens = drawn.tokens[i]!;
    const prompt = tokenizer.decode(ids, { skipSpecialTokens: true });
    const whole = tokenizer.decode([...ids, ...completionTokens], { skipSpecialTokens: true });
    const completion = whole.startsWith(prompt)
      ? whole.slice(prompt.length)
      : tokenizer.decode(completionTokens, { skipSpecialTokens: true });
    return { prompt, completion, promptTokens: ids, completionTokens, finished: drawn.finished[i]!, row };
  });
  return { samples, batch: batchOf(samples) };
}

/** Samples as a batch of which only the completions are targets. */
export const batchOf = (samples: readonly Sample[]): TokenBatch =>
  packCompletions(
    samples.map(({ promptTokens, completionTokens }) => ({
      prompt: promptTokens,
      completion: completionTokens,
    })),
  );

/**
 * The scores of samples, [B]: a reward model's, `size` samples at a time, or a function's. Throws ConfigError, naming the sample,
 * for a score that is no finite f32, and for too few or too many.
 */
export async function scoresOf(
  samples: readonly Sample[],
  reward: RewardFunction | ScoreHead,
  size = samples.length,
): Promise<Float32Array> {
  const scores = reward instanceof ScoreHead ? await judged(samples, reward, size) : await reward(samples);
  if (scores?.length !== samples.length) {
    throw new ConfigError(
      `reward: it gave ${scores?.length ?? typeof scores} scores for ${samples.length} samples, one for each was needed`,
      "reward",
    );
  }
  return Float32Array.from(scores, (score, i) => {
    if (Number.isFinite(Math.fround(score))) return score;
    const { completion } = samples[i]!;
    throw new ConfigError(
      `reward: the score of sample ${i} is ${score}, a finite number was needed (completion ${JSON.stringify(completion.slice(0, 60))})`,
      "reward",
    );
  });
}

async function judged(samples: readonly Sample[], head: ScoreHead, size: number): Promise<number[]> {
  const scores: number[] = [];
  for (let first = 0; first < samples.length; first += size) {
    const rewards = withoutGrad(() => head.rewards(batchOf(samples.slice(first, first + size))));
    try {
      scores.push(...(await rewards.data()));
    } finally {
      rewards.dispose();
    }
  }
  return scores;
}
