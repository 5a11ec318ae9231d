import { ConfigError } from "../core/errors.ts";
import { type Corpus, joinCorpora } from "../data/corpus.ts";
import { type MixPart, type Mixture, mixBatches } from "../data/mix.ts";
import { openCorpus } from "../data/open_corpus.ts";
import { packedBatches } from "../data/packed_batches.ts";
import type { Model } from "../models/model.ts";
import type { BatchSource } from "../text/token_batch.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import { sourceOf } from "./batch_source.ts";

/**
 * What `pretrain` takes: batches as they are, a source of them, a corpus, files (token files, `.ds`, or folders of them, and
 * texts, `.txt` and `.jsonl`, also as `.gz` or `.zst`), or a mixture of such things.
 */
export type PretrainData = MixPart["data"] | Mixture;

interface OpenOptions {
  model: Model;
  tokenizer?: Tokenizer | undefined;
  batchTokens: number;
  maxLength?: number | undefined;
  seed: number;
}

/** Opens data for training, and remembers what has to be closed. */
export class DataOpener {
  private readonly corpora: Corpus[] = [];
  private tokenizer: Promise<Tokenizer> | undefined;

  constructor(private readonly options: OpenOptions) {}

  async open(data: PretrainData): Promise<BatchSource> {
    if (!isMixture(data)) return this.openOne(data, this.options.seed);
    const { parts, seed = this.options.seed } = data;
    const sources = await Promise.all(parts.map((part) => this.openOne(part.data, seed)));
    return mixBatches(parts.map(({ name, weight }, k) => ({ name, weight, source: sources[k]! })));
  }

  async close(): Promise<void> {
    for (const corpus of this.corpora) await corpus.close?.();
  }

  private async openOne(data: MixPart["data"], seed: number): Promise<BatchSource> {
    const corpus = areFiles(data) ? await this.openFiles([data].flat()) : isCorpus(data) ? data : undefined;
    if (!corpus) return sourceOf(data as Parameters<typeof sourceOf>[0]);
    const { model, batchTokens } = this.options;
    const { maxLength = Math.min(model.config.maxPositionEmbeddings, batchTokens) } = this.options;
    return packedBatches(corpus, { batchTokens, maxLength, seed });
  }

  private async openFiles(files: readonly string[]): Promise<Corpus> {
    const { model, tokenizer } = this.options;
    this.tokenizer ??= tokenizer
      ? Promise.resolve(tokenizer)
      : loadTokenizer(model.origin?.dir ?? withoutTokenizer());
    const tok = await this.tokenizer;
    const corpora = await Promise.all(
      files.map(async (file) => {
        const corpus = await openCorpus(file, tok);
        this.corpora.push(corpus);
        return corpus;
      }),
    );
    return joinCorpora(corpora);
  }
}

const isMixture = (data: PretrainData): data is Mixture =>
  typeof data === "object" && data !== null && "kind" in data && data.kind === "mix";

const isCorpus = (data: MixPart["data"]): data is Corpus =>
  typeof data === "object" && data !== null && "document" in data && "documents" in data;

const areFiles = (data: MixPart["data"]): data is string | readonly string[] =>
  typeof data === "string" ||
  (Array.isArray(data) && data.length > 0 && data.every((file) => typeof file === "string"));

function withoutTokenizer(): never {
  throw new ConfigError(
    "pretrain: data is a file and the model was created, not loaded; a tokenizer was needed",
    "tokenizer",
  );
}
