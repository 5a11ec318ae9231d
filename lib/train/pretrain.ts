import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import { joinCorpora } from "../data/corpus.ts";
import { openCorpus } from "../data/open_corpus.ts";
import { packedBatches } from "../data/packed_batches.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import { sourceOf, type TrainingData } from "./batch_source.ts";
import {
  type LanguageModelTrainOptions,
  languageModelTrainKeys,
  trainLanguageModel,
} from "./language_model.ts";
import type { StepMetrics } from "./metrics.ts";

export interface PretrainOptions extends LanguageModelTrainOptions {
  /** Batches as they are, a source of them, or files: token files (`.ds`) and texts (`.txt`, `.jsonl`, also gzipped). */
  data: TrainingData | string | readonly string[];
  /** For text files. Default: that of the folder the model was loaded from. */
  tokenizer?: Tokenizer;
  /** For files: tokens of a batch. Default 4096. */
  batchTokens?: number;
  /** For files: longest piece of a document. Default: the positions of the model, and at most batchTokens. */
  maxLength?: number;
}

const keys = [...languageModelTrainKeys, "data", "tokenizer", "batchTokens", "maxLength"];

/**
 * Trains a language model on packed tokens: `for await (const m of pretrain({ … })) …`, one object per update, one step
 * late. `break` ends it; so does the signal, after saving. Documents of files come in an order that `seed` decides, another
 * one in each epoch. Throws DeviceError, with step and module, for a loss or gradient that isn't finite: the parameters are
 * those before that step, and the last checkpoint stays.
 */
export async function* pretrain(options: PretrainOptions): AsyncGenerator<StepMetrics, void, void> {
  refuseUnknown("pretrain", options, keys);
  const { data, tokenizer, batchTokens = 4096, maxLength, ...rest } = options;
  const name = "pretrain";
  if (!areFiles(data)) {
    yield* trainLanguageModel({ ...rest, name, source: sourceOf(data) });
    return;
  }
  const { model, seed = 0 } = rest;
  const tok = tokenizer ?? (await loadTokenizer(model.origin?.dir ?? withoutTokenizer()));
  const corpus = joinCorpora(await Promise.all([data].flat().map((file) => openCorpus(file, tok))));
  try {
    const longest = maxLength ?? Math.min(model.config.maxPositionEmbeddings, batchTokens);
    const source = packedBatches(corpus, { batchTokens, maxLength: longest, seed });
    yield* trainLanguageModel({ ...rest, name, source });
  } finally {
    await corpus.close?.();
  }
}

const areFiles = (data: PretrainOptions["data"]): data is string | readonly string[] =>
  typeof data === "string" ||
  (Array.isArray(data) && data.length > 0 && data.every((file) => typeof file === "string"));

function withoutTokenizer(): never {
  throw new ConfigError(
    "pretrain: data is a file and the model was created, not loaded; a tokenizer was needed",
    "tokenizer",
  );
}
