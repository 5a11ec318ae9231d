import { ConfigError } from "../core/errors.ts";
import { permutation } from "../core/random.ts";
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
  /** Batches before epoch e. */
  const before = [0];
  let latest = { epoch: -1, batches: [] as Example[][] };
  const epochOf = (epoch: number): Example[][] => {
    if (latest.epoch !== epoch) {
      const order = permutation(examples.length, seed, epoch);
      latest = {
        epoch,
        batches: fill(
          Array.from(order, (i) => examples[i]!),
          batchTokens,
        ),
      };
    }
    return latest.batches;
  };
  return {
    batch(index) {
      for (let e = before.length - 1; before[e]! <= index; e++)
        before[e + 1] = before[e]! + epochOf(e).length;
      const epoch = before.findLastIndex((first) => first <= index);
      return pack(epochOf(epoch)[index - before[epoch]!]!);
    },
  };
}

/** The same in the order given, once: for validation. */
export function packExamples(examples: readonly Example[], batchTokens: number): TokenBatch[] {
  checkSizes(examples, batchTokens);
  return fill(examples, batchTokens).map(pack);
}

const pack = (batch: readonly Example[]): TokenBatch =>
  packBatch(
    batch.map(({ ids }) => ids),
    batch.map(({ learn }) => learn),
  );

function fill(examples: readonly Example[], batchTokens: number): Example[][] {
  const batches: Example[][] = [];
  let room = 0;
  for (const example of examples) {
    const { length } = example.ids;
    if (batches.length === 0 || length > room) {
      batches.push([]);
      room = batchTokens;
    }
    batches.at(-1)!.push(example);
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
