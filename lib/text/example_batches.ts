import { ConfigError } from "../core/errors.ts";
import { epochBatches } from "./epochs.ts";
import type { Example } from "./sft_row.ts";
import { type BatchSource, packBatch, type TokenBatch } from "./token_batch.ts";

export interface ExampleBatchOptions {
  /** Most tokens of a batch. */
  batchTokens: number;
  /** Decides the order of examples, another one in each epoch. Default 0. */
  seed?: number;
}

/**
 * Whole examples in batches of up to batchTokens, epoch after epoch: each epoch has every example once, in an order of its
 * own; a batch is closed when the next example doesn't fit, and at the epoch's end.
 */
export function exampleBatches(
  examples: readonly Example[],
  { batchTokens, seed = 0 }: ExampleBatchOptions,
): BatchSource {
  checkSizes(examples, batchTokens);
  if (examples.length === 0) {
    throw new ConfigError("exampleBatches: there is no example, at least one was needed", "examples");
  }
  const batch = epochBatches(examples.length, { seed }, (order) => fill(examples, order, batchTokens));
  return { batch: (index) => pack(examples, batch(index)) };
}

/** The same in the order given, once: for validation. */
export function packExamples(examples: readonly Example[], batchTokens: number): TokenBatch[] {
  checkSizes(examples, batchTokens);
  const order = examples.map((_, i) => i);
  return fill(examples, order, batchTokens).map((batch) => pack(examples, batch));
}

const pack = (examples: readonly Example[], batch: readonly number[]): TokenBatch =>
  packBatch(
    batch.map((i) => examples[i]!.ids),
    batch.map((i) => examples[i]!.learn),
  );

/** Examples, in that order, in batches of up to batchTokens. */
function fill(examples: readonly Example[], order: readonly number[], batchTokens: number): number[][] {
  const batches: number[][] = [];
  let room = 0;
  for (const i of order) {
    const { length } = examples[i]!.ids;
    if (batches.length === 0 || length > room) {
      batches.push([]);
      room = batchTokens;
    }
    batches.at(-1)!.push(i);
    room -= length;
  }
  return batches;
}

function checkSizes(examples: readonly Example[], batchTokens: number): void {
  const longest = examples.reduce((n, { ids }) => Math.max(n, ids.length), 1);
  if (Number.isInteger(batchTokens) && batchTokens >= longest) return;
  throw new ConfigError(
    `exampleBatches: batchTokens is ${batchTokens}, a whole number from ${longest}, the longest example, was needed`,
    "batchTokens",
  );
}
