import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import { exampleBatches } from "../text/example_batches.ts";
import { type Examples, readExamples } from "../text/examples.ts";
import type { ExampleOptions, SftRow } from "../text/sft_row.ts";
import type { TokenBatch } from "../text/token_batch.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { sourceOf } from "./batch_source.ts";
import {
  type LanguageModelTrainOptions,
  languageModelTrainKeys,
  trainLanguageModel,
} from "./language_model.ts";
import type { StepMetrics } from "./metrics.ts";

export interface SftOptions
  extends LanguageModelTrainOptions,
    Pick<ExampleOptions, "completionOnly" | "assistantOnly"> {
  /** Rows, the path of a `.jsonl` or `.parquet` file of rows, what readExamples made of them, or batches as they are. */
  data: readonly SftRow[] | string | Examples | readonly TokenBatch[];
  /** Needed for rows. */
  tokenizer?: Tokenizer;
  /** Most tokens of a batch; examples are not cut at its borders. Default 4096. */
  batchTokens?: number;
  /** Longer examples lose their end. Default: the positions of the model, and at most batchTokens. */
  maxLength?: number;
  /** Decides the order of examples, and dropout. Default 0. */
  seed?: number;
}

const keys = [
  ...languageModelTrainKeys,
  "completionOnly",
  "assistantOnly",
  "data",
  "tokenizer",
  "batchTokens",
  "maxLength",
];

/**
 * Supervised fine-tuning on texts, prompts with completions, or conversations: like `pretrain`, on whole examples, shuffled
 * anew in each epoch. A Node warning tells of rows that were cut or dropped; readExamples says which.
 * @throws FormatError, with its line, for a row of another kind; ConfigError if no row is left.
 */
export async function* trainSft(options: SftOptions): AsyncGenerator<StepMetrics, void, void> {
  refuseUnknown("trainSft", options, keys);
  const { data, tokenizer, batchTokens = 4096, completionOnly = true, assistantOnly = false } = options;
  const { maxLength = Math.min(options.model.config.maxPositionEmbeddings, batchTokens) } = options;
  const shared = { ...options, name: "trainSft" };
  if (areBatches(data)) {
    yield* trainLanguageModel({ ...shared, source: sourceOf(data) });
    return;
  }
  const read = isRead(data)
    ? data
    : await readExamples(data, { tokenizer: needed(tokenizer), maxLength, completionOnly, assistantOnly });
  const { examples, dropped } = read;
  if (examples.length === 0) {
    const why = dropped[0] ? ` (row ${dropped[0].line}: ${dropped[0].reason})` : "";
    throw new ConfigError(`trainSft: none of ${dropped.length} rows is left to train on${why}`, "data");
  }
  if (!isRead(data)) warn(read, maxLength);
  const tokens = examples.reduce((n, { ids }) => n + ids.length, 0);
  const learned = examples.reduce((n, { learn }) => n + learn.filter(Boolean).length, 0);
  yield* trainLanguageModel({
    ...shared,
    source: exampleBatches(examples, { batchTokens, seed: options.seed ?? 0 }),
    fingerprint: { batchTokens, examples: examples.length, tokens, learned },
  });
}

type Data = SftOptions["data"];

const areBatches = (data: Data): data is readonly TokenBatch[] =>
  Array.isArray(data) && data[0]?.tokens instanceof Int32Array;

const isRead = (data: Data): data is Examples => typeof data === "object" && "examples" in data;

function needed(tokenizer: Tokenizer | undefined): Tokenizer {
  if (tokenizer) return tokenizer;
  throw new ConfigError("trainSft: data are rows, a tokenizer was needed", "tokenizer");
}

function warn({ examples, truncated, dropped }: Examples, maxLength: number): void {
  const parts: string[] = [];
  if (truncated.length > 0)
    parts.push(`${truncated.length} cut to ${maxLength} tokens (the first is row ${truncated[0]})`);
  if (dropped.length > 0) {
    const { line, reason } = dropped[0]!;
    parts.push(`${dropped.length} dropped (the first is row ${line}: ${reason})`);
  }
  if (parts.length === 0) return;
  process.emitWarning(`trainSft: of ${examples.length + dropped.length} rows, ${parts.join(", ")}`);
}
