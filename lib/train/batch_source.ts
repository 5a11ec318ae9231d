import { ConfigError } from "../core/errors.ts";
import type { BatchSource, TokenBatch } from "../text/token_batch.ts";

/** What trainers take as data: batches as they are, used in turn, or a source. */
export type TrainingData = readonly TokenBatch[] | BatchSource;

/** Throws ConfigError for an empty list. */
export function sourceOf(data: TrainingData): BatchSource {
  if (!isList(data)) return data;
  if (data.length === 0) throw new ConfigError("train: data holds no batch, at least one was needed", "data");
  return {
    fingerprint: { batches: data.length, tokens: data.reduce((n, { tokens }) => n + tokens.length, 0) },
    batch: (index) => data[index % data.length]!,
  };
}

const isList = (data: TrainingData): data is readonly TokenBatch[] => Array.isArray(data);
