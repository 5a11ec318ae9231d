// The texts of the continual-pretraining study: what the model learns first, and what comes after it.
import path from "node:path";
import { permutation } from "../../../lib/core/random.ts";
import {
  type Corpus,
  loadTokenizer,
  sequentialBatches,
  type TokenBatch,
  type Tokenizer,
  textBytes,
  tokenizeDocuments,
} from "../../../lib/index.ts";
import { targetCount } from "../../../lib/text/token_batch.ts";
import { trainTokenizer } from "../../../lib/text/train_tokenizer.ts";
import { glosses, handbook } from "../texts.ts";

/** Documents of each text; `strong` is further from `old` than `weak` is. */
export interface Texts {
  old: readonly string[];
  weak: readonly string[];
  strong: readonly string[];
}

/** What the second phase learns: "none" is more of the old text. */
export const kShifts = ["strong", "weak", "none"] as const;
export type Shift = (typeof kShifts)[number];

/** A text to learn from, and what is measured on it. */
export interface Domain {
  train: Corpus;
  heldOut: readonly TokenBatch[];
  /** Bits a byte of the held-out text at a loss of one nat a token. */
  bitsPerNat: number;
}

export type Domains = Record<Shift | "old", Domain>;

export interface DomainOptions {
  vocabSize: number;
  /** Of each text. */
  heldOutBytes: number;
  batchTokens: number;
  maxLength: number;
}

/** WordNet's glosses, Debian's handbook in English, and the same book in German without what nobody has translated. */
export async function realTexts(): Promise<Texts> {
  const weak = await handbook("en-US");
  const english = new Set(weak.flatMap((text) => text.split("\n")));
  const strong = (await handbook("de-DE"))
    .map((text) =>
      text
        .split("\n")
        .filter((paragraph) => !english.has(paragraph))
        .join("\n"),
    )
    .filter((text) => text.length > 200);
  return { old: await glosses(), weak, strong };
}

/**
 * Token ids by one tokenizer that is trained here, on as many bytes of each text as the smallest has to train on, and
 * written to `dir`. The old text is split: one half is learnt in the first phase, the other is "none".
 */
export async function openDomains(texts: Texts, dir: string, options: DomainOptions): Promise<Domains> {
  const split = {
    old: heldOutOf(texts.old, options.heldOutBytes),
    weak: heldOutOf(texts.weak, options.heldOutBytes),
    strong: heldOutOf(texts.strong, options.heldOutBytes),
  };
  const least = Math.min(...Object.values(split).map(({ train }) => bytesOf(train)));
  const sample = Object.values(split).flatMap(({ train }) => train.slice(0, countWithin(train, least)));
  const folder = path.join(dir, "tokenizer");
  await trainTokenizer(sample, folder, { vocabSize: options.vocabSize });
  const tokenizer = await loadTokenizer(folder);
  const half = countWithin(split.old.train, bytesOf(split.old.train) / 2);
  const old = await heldOut(tokenizer, split.old.heldOut, options);
  const corpus = (documents: readonly string[]): Promise<Corpus> => tokenizeDocuments(tokenizer, documents);
  return {
    old: { ...old, train: await corpus(split.old.train.slice(0, half)) },
    none: { ...old, train: await corpus(split.old.train.slice(half)) },
    weak: {
      ...(await heldOut(tokenizer, split.weak.heldOut, options)),
      train: await corpus(split.weak.train),
    },
    strong: {
      ...(await heldOut(tokenizer, split.strong.heldOut, options)),
      train: await corpus(split.strong.train),
    },
  };
}

const bytesOf = (documents: readonly string[]): number =>
  documents.reduce((sum, text) => sum + Buffer.byteLength(text), 0);

/** How many of the first documents have `bytes` bytes together, or just more. */
function countWithin(documents: readonly string[], bytes: number): number {
  let seen = 0;
  const last = documents.findIndex((text) => {
    seen += Buffer.byteLength(text);
    return seen >= bytes;
  });
  return last < 0 ? documents.length : last + 1;
}

/** Documents in an order that is the same for all seeds of the study; the first ones are held out. */
function heldOutOf(documents: readonly string[], bytes: number) {
  const order = [...permutation(documents.length, 1)].map((i) => documents[i]!);
  const count = countWithin(order, bytes);
  return { heldOut: order.slice(0, count), train: order.slice(count) };
}

async function heldOut(
  tokenizer: Tokenizer,
  documents: readonly string[],
  { batchTokens, maxLength }: DomainOptions,
): Promise<Omit<Domain, "train">> {
  const corpus = await tokenizeDocuments(tokenizer, documents);
  const batches = await sequentialBatches(corpus, { batchTokens, maxLength });
  const targets = batches.reduce((sum, batch) => sum + targetCount(batch), 0);
  return {
    heldOut: batches,
    bitsPerNat: targets / Math.LN2 / (await textBytes(corpus, tokenizer)),
  };
}
