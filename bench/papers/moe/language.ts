// What the studies of experts learn from: texts of several kinds, one tokenizer for all of them.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  type Corpus,
  loadTokenizer,
  sequentialBatches,
  type TokenBatch,
  type Tokenizer,
  tokenizeDocuments,
} from "../../../lib/index.ts";
import { trainTokenizer } from "../../../lib/text/train_tokenizer.ts";
import { declarations, glosses, handbook } from "../texts.ts";

/** Of an update. */
export const kBatchTokens = 512;
export const kMaxLength = 256;

/** Kinds of text: WordNet's definitions, TypeScript's declarations, Debian's handbook in English and German. */
export const kDomains = ["glosses", "declarations", "handbook en", "handbook de"] as const;
export type DomainName = (typeof kDomains)[number];

/** Every n-th document of a kind is held out. */
const kHeldOutEvery: Record<DomainName, number> = {
  glosses: 100,
  declarations: 20,
  "handbook en": 12,
  "handbook de": 12,
};

/** Every fourth gloss: 0.9 million tokens, more than a run sees. */
const kTexts: Record<DomainName, () => Promise<string[]>> = {
  glosses: async () => (await glosses()).filter((_, i) => i % 4 === 1),
  declarations,
  "handbook en": () => handbook("en-US"),
  "handbook de": () => handbook("de-DE"),
};

export interface Domain {
  name: DomainName;
  corpus: Corpus;
  /** Texts that no run learns from. */
  heldOut: string[];
}

export interface Language {
  tokenizer: Tokenizer;
  domains: Domain[];
}

/**
 * Reads the texts of `names` and learns a tokenizer of `vocabSize` from a part of each. Throws ConfigError for a kind whose
 * package is missing.
 */
export async function openLanguage(names: readonly DomainName[], vocabSize: number): Promise<Language> {
  const texts = await Promise.all(names.map((name) => kTexts[name]()));
  const dir = await mkdtemp(path.join(tmpdir(), "mixwright-tokenizer-"));
  try {
    await trainTokenizer(texts.flatMap(someOf), dir, { vocabSize });
    const tokenizer = await loadTokenizer(dir);
    const domains: Domain[] = [];
    for (const [k, name] of names.entries()) {
      const isHeldOut = (i: number): boolean => i % kHeldOutEvery[name] === 0;
      domains.push({
        name,
        corpus: await tokenizeDocuments(
          tokenizer,
          texts[k]!.filter((_, i) => !isHeldOut(i)),
        ),
        heldOut: texts[k]!.filter((_, i) => isHeldOut(i)),
      });
    }
    return { tokenizer, domains };
  } finally {
    await rm(dir, { recursive: true });
  }
}

const kSampleBytes = 300_000;

/** Evenly spread texts of some hundred thousand characters. */
function someOf(texts: readonly string[]): string[] {
  const all = texts.reduce((sum, text) => sum + text.length, 0);
  const every = Math.max(1, Math.round(all / kSampleBytes));
  return texts.filter((_, i) => i % every === 0);
}

export interface HeldOut {
  batches: TokenBatch[];
  bytes: number;
}

/** Held-out texts as batches: the first documents of each kind, up to its number of `tokens`. */
export async function heldOutBatches(
  tokenizer: Tokenizer,
  texts: readonly (readonly string[])[],
  tokens: readonly number[],
): Promise<HeldOut> {
  const taken: string[] = [];
  for (const [k, of] of texts.entries()) {
    let count = 0;
    for (const text of of) {
      if (count >= tokens[k]!) break;
      taken.push(text);
      count += tokenizer.encode(text).length;
    }
  }
  const corpus = await tokenizeDocuments(tokenizer, taken);
  return {
    batches: await sequentialBatches(corpus, { batchTokens: kBatchTokens, maxLength: kMaxLength }),
    bytes: Buffer.byteLength(taken.join("")),
  };
}
