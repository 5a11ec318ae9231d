import { ConfigError } from "../core/errors.ts";
import type { BatchSource, TokenBatch } from "../text/token_batch.ts";

/** What trainers take as data: batches as they are, used in turn, or a source. */
export type TrainingData = readonly TokenBatch[] | BatchSource;

/** Throws ConfigError for an empty list, and for what is neither a list of batches nor a source. */
export function sourceOf(data: TrainingData): BatchSource {
  if (!isList(data)) {
    if (typeof data?.batch === "function") return data;
    throw new ConfigError(
      `train: data is ${typeof data}, batches, a source of them or files were needed`,
      "data",
    );
  }
  if (data.length === 0) throw new ConfigError("train: data holds no batch, at least one was needed", "data");
  const odd = data.findIndex((batch) => !(batch?.tokens instanceof Int32Array));
  if (odd >= 0) throw new ConfigError(`train: data[${odd}] is no batch, packBatch makes them`, "data");
  return {
    fingerprint: { batches: data.length, tokens: data.reduce((n, { tokens }) => n + tokens.length, 0) },
    batch: (index) => data[index % data.length]!,
    tokens: (index) => data[index % data.length]!.tokens.length,
  };
}

const isList = (data: TrainingData): data is readonly TokenBatch[] => Array.isArray(data);
