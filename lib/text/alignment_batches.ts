import { ConfigError } from "../core/errors.ts";
import { checkWhole } from "../core/options.ts";
import type { Labelled, Pair, Prompt } from "./alignment_rows.ts";
import { type EpochOptions, epochBatches, inBatchesOf } from "./epochs.ts";
import { type BatchSource, packBatch, type TokenBatch } from "./token_batch.ts";

export interface AlignmentBatchOptions extends EpochOptions {
  /** Pairs, rows or prompts of a batch; the last of an epoch has what remains. */
  batchSize: number;
}

export interface LabelledBatchOptions extends AlignmentBatchOptions {
  /** Mismatched documents lose what goes beyond this many tokens. Default: they are whole. */
  maxLength?: number;
}

/** P pairs as 2P documents: all prompts with what was chosen, then all with what was rejected. Only completions are targets. */
export interface PairBatch extends TokenBatch {
  /** Which pairs they are: pair pairs[i] makes documents i and P + i. */
  readonly pairs: readonly number[];
  /** [P], 0 where a row says nothing; absent if no row of the whole set has a margin. */
  readonly margins?: Float32Array;
}

/**
 * B rows as 2B documents: the rows, then mismatched ones, row i's prompt with the completion of the row before it in the batch
 * (the first takes the last's), from which KTO estimates the KL term. Only completions are targets.
 */
export interface LabelledBatch extends TokenBatch {
  /** Which rows they are: row rows[i] makes document i, and is the prompt of document B + i. */
  readonly rows: readonly number[];
  /** [B] */
  readonly labels: readonly boolean[];
}

export interface PromptBatch {
  readonly prompts: readonly Prompt[];
  /** Which prompts they are. */
  readonly rows: readonly number[];
}

/**
 * Pairs in batches, epoch after epoch, each epoch in an order of its own (`shuffle: false`: always as given).
 * @throws ConfigError if there is no pair, or batchSize isn't a whole number from 1.
 */
export function pairBatches(
  pairs: readonly Pair[],
  { batchSize, ...epochs }: AlignmentBatchOptions,
): BatchSource<PairBatch> {
  check("pairBatches", pairs, batchSize, 1);
  const batch = epochBatches(pairs.length, epochs, inBatchesOf(batchSize));
  const pack = pairPacker(pairs);
  return { batch: (index) => pack(batch(index)) };
}

/** The same in the order given, once: for validation. */
export function packPairs(pairs: readonly Pair[], batchSize: number): PairBatch[] {
  checkWhole("packPairs", { batchSize }, 1);
  return inBatchesOf(batchSize)(pairs.map((_, i) => i)).map(pairPacker(pairs));
}

/**
 * Labelled rows in batches, epoch after epoch, each epoch in an order of its own (`shuffle: false`: always as given). One row
 * that remains at an epoch's end joins the batch before, as there is nothing to mismatch it with.
 * @throws ConfigError if there are less than two rows, or batchSize isn't a whole number from 2; or if a prompt leaves no room
 * in maxLength.
 */
export function labelledBatches(
  rows: readonly Labelled[],
  { batchSize, maxLength = Number.POSITIVE_INFINITY, ...epochs }: LabelledBatchOptions,
): BatchSource<LabelledBatch> {
  check("labelledBatches", rows, batchSize, 2);
  const longest = rows.reduce((n, { prompt }) => Math.max(n, prompt.length), 0);
  if (!(maxLength > longest)) {
    throw new ConfigError(
      `labelledBatches: maxLength is ${maxLength}, more than the ${longest} tokens of the longest prompt was needed`,
      "maxLength",
    );
  }
  const batch = epochBatches(rows.length, epochs, (order) => {
    const batches = inBatchesOf(batchSize)(order);
    if (batches.at(-1)!.length === 1) batches.at(-2)!.push(...batches.pop()!);
    return batches;
  });
  return {
    batch: (index) => {
      const chosen = batch(index);
      const mine = chosen.map((i) => rows[i]!);
      const mismatched = mine.map(({ prompt }, i) => {
        const { completion } = mine.at(i - 1)!;
        return { prompt, completion: completion.slice(0, maxLength - prompt.length) };
      });
      return {
        ...packCompletions([...mine, ...mismatched]),
        rows: chosen,
        labels: mine.map(({ label }) => label),
      };
    },
  };
}

/**
 * Prompts in batches, epoch after epoch, each epoch in an order of its own (`shuffle: false`: always as given).
 * @throws ConfigError if there is no prompt, or batchSize isn't a whole number from 1.
 */
export function promptBatches(
  prompts: readonly Prompt[],
  { batchSize, ...epochs }: AlignmentBatchOptions,
): BatchSource<PromptBatch> {
  check("promptBatches", prompts, batchSize, 1);
  const batch = epochBatches(prompts.length, epochs, inBatchesOf(batchSize));
  return {
    batch: (index) => {
      const rows = batch(index);
      return { prompts: rows.map((i) => prompts[i]!), rows };
    },
  };
}

/** Prompts with their completions as documents, of which only the completions are targets. */
export function packCompletions(
  rows: readonly { readonly prompt: readonly number[]; readonly completion: readonly number[] }[],
): TokenBatch {
  return packBatch(
    rows.map(({ prompt, completion }) => [...prompt, ...completion]),
    rows.map(({ prompt, completion }) => [...prompt.map(() => false), ...completion.map(() => true)]),
  );
}

function pairPacker(pairs: readonly Pair[]): (indices: readonly number[]) => PairBatch {
  const hasMargins = pairs.some(({ margin }) => margin !== undefined);
  return (indices) => {
    const mine = indices.map((i) => pairs[i]!);
    return {
      ...packCompletions([
        ...mine.map(({ prompt, chosen }) => ({ prompt, completion: chosen })),
        ...mine.map(({ prompt, rejected }) => ({ prompt, completion: rejected })),
      ]),
      pairs: indices,
      ...(hasMargins && { margins: Float32Array.from(mine, ({ margin }) => margin ?? 0) }),
    };
  };
}

/** Throws ConfigError unless batches of that size can be made, of `least` rows at least. */
function check(where: string, rows: readonly unknown[], batchSize: number, least: number): void {
  checkWhole(where, { batchSize }, least);
  if (rows.length >= least) return;
  throw new ConfigError(`${where}: there are ${rows.length} rows, at least ${least} were needed`, "data");
}
