import { ConfigError } from "../core/errors.ts";
import type { TokenBatch } from "../text/token_batch.ts";

/**
 * Batches by number. `batch(i)` depends on `i` alone, so that a resumed run reads what the first one would have; numbers
 * run on for ever, a source starts over by itself.
 */
export interface BatchSource {
  batch(index: number): TokenBatch | Promise<TokenBatch>;
}

/** What trainers take as data: batches as they are, used in turn, or a source. */
export type TrainingData = readonly TokenBatch[] | BatchSource;

/** Throws ConfigError for an empty list. */
export function sourceOf(data: TrainingData): BatchSource {
  if (!isList(data)) return data;
  if (data.length === 0) throw new ConfigError("train: data holds no batch, at least one was needed", "data");
  return { batch: (index) => data[index % data.length]! };
}

const isList = (data: TrainingData): data is readonly TokenBatch[] => Array.isArray(data);
