import { ConfigError } from "../core/errors.ts";
import { permutation } from "../core/random.ts";
import { type BatchSource, IGNORED, type TokenBatch } from "../text/token_batch.ts";
import type { Corpus } from "./corpus.ts";

export interface SequentialOptions {
  /** Tokens of a batch. */
  batchTokens: number;
  /** Longest piece of a document, as a rule what the model's positions allow. Default: batchTokens. */
  maxLength?: number;
}

export interface PackedOptions extends SequentialOptions {
  /** Decides the order of documents, another one in each epoch. Default 0. */
  seed?: number;
  /** False: documents in their own order, every epoch. Default true. */
  shuffle?: boolean;
}

/** Batches cut from one endless row of tokens. */
export interface PackedBatches extends BatchSource {
  /** Tokens of each batch. */
  readonly batchTokens: number;
  /** Tokens [from, to) of the row as a batch. */
  range(from: number, to: number): Promise<TokenBatch>;
}

/** One epoch's documents end to end: `starts[k]` is where the k-th one, document `order[k]`, begins. */
interface Epoch {
  order: Int32Array;
  starts: Float64Array;
}

/**
 * Batches for pretraining: the documents of epoch 0, then those of epoch 1, … make one endless row of tokens, and batch i
 * takes its tokens [i·batchTokens, (i+1)·batchTokens). Documents are cut at a batch's borders and after maxLength tokens;
 * positions start again in each piece, and no target is lost: a piece's last token still has the next one as its target.
 * Throws ConfigError for an empty corpus.
 */
export function packedBatches(corpus: Corpus, options: PackedOptions): PackedBatches {
  const { batchTokens, maxLength, seed = 0, shuffle = true } = checked("packedBatches", options);
  const epochs = new Map<number, Epoch>();
  const epochOf = (e: number): Epoch => {
    let epoch = epochs.get(e);
    if (!epoch) {
      epoch = layOut(corpus, shuffle ? permutation(corpus.documents, seed, e) : undefined);
      epochs.set(e, epoch);
      const [oldest] = epochs.keys();
      if (epochs.size > 2) epochs.delete(oldest!);
    }
    return epoch;
  };
  const perEpoch = epochOf(0).starts[corpus.documents]!;
  if (perEpoch === 0) {
    throw new ConfigError(
      `packedBatches: the corpus has ${corpus.documents} documents and no token, at least one was needed`,
      "corpus",
    );
  }
  const range = (from: number, to: number): Promise<TokenBatch> => {
    const pieces: Piece[] = [];
    for (let at = from; at < to; ) {
      const e = Math.floor(at / perEpoch);
      const upTo = Math.min(to, (e + 1) * perEpoch);
      pieces.push(...piecesOf(epochOf(e), at - e * perEpoch, upTo - e * perEpoch, maxLength));
      at = upTo;
    }
    return assemble(corpus, pieces);
  };
  return {
    fingerprint: {
      documents: corpus.documents,
      tokens: perEpoch,
      batchTokens,
      maxLength,
      order: shuffle ? seed : "as it is",
    },
    batchTokens,
    tokens: () => batchTokens,
    batch: (index) => range(index * batchTokens, (index + 1) * batchTokens),
    range,
  };
}

/**
 * All of a corpus in its own order, once, for validation. Documents are cut after maxLength tokens and nowhere else, so that
 * batchTokens doesn't decide what the model sees: a batch is closed when the next piece doesn't fit, and a piece that is
 * longer than batchTokens gets a batch of its own.
 */
export async function sequentialBatches(corpus: Corpus, options: SequentialOptions): Promise<TokenBatch[]> {
  const { batchTokens, maxLength } = checked("sequentialBatches", options);
  const epoch = layOut(corpus);
  const total = epoch.starts[corpus.documents]!;
  const batches: TokenBatch[] = [];
  let pieces: Piece[] = [];
  let tokens = 0;
  for (const piece of piecesOf(epoch, 0, total, maxLength)) {
    const length = piece.to - piece.from;
    if (tokens > 0 && tokens + length > batchTokens) {
      batches.push(await assemble(corpus, pieces));
      pieces = [];
      tokens = 0;
    }
    pieces.push(piece);
    tokens += length;
  }
  if (tokens > 0) batches.push(await assemble(corpus, pieces));
  return batches;
}

function checked<T extends SequentialOptions>(name: string, options: T): T & { maxLength: number } {
  const { batchTokens, maxLength = batchTokens } = options;
  for (const [key, value] of Object.entries({ batchTokens, maxLength })) {
    if (!Number.isInteger(value) || value < 1)
      throw new ConfigError(`${name}: ${key} is ${value}, a whole number from 1 was needed`, key);
  }
  return { ...options, maxLength };
}

function layOut(corpus: Corpus, order?: Int32Array): Epoch {
  const n = corpus.documents;
  const documents = order ?? Int32Array.from({ length: n }, (_, i) => i);
  const starts = new Float64Array(n + 1);
  documents.forEach((document, k) => {
    starts[k + 1] = starts[k]! + corpus.length(document);
  });
  return { order: documents, starts };
}

/** Tokens [from, to) of a document. */
interface Piece {
  document: number;
  from: number;
  to: number;
}

/** What lies at [from, to) of an epoch. */
function piecesOf({ order, starts }: Epoch, from: number, to: number, maxLength: number): Piece[] {
  const pieces: Piece[] = [];
  let k = lastStart(starts, from);
  for (let at = from; at < to; ) {
    if (starts[k + 1]! <= at) {
      k++;
      continue;
    }
    const end = Math.min(starts[k + 1]!, to, at + maxLength);
    pieces.push({ document: order[k]!, from: at - starts[k]!, to: end - starts[k]! });
    at = end;
  }
  return pieces;
}

/** The last k with starts[k] ≤ at. */
function lastStart(starts: Float64Array, at: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (starts[middle]! <= at) low = middle;
    else high = middle;
  }
  return low;
}

/** Pieces as a batch. One token more than the piece is read where the document goes on: the last target. */
async function assemble(corpus: Corpus, pieces: readonly Piece[]): Promise<TokenBatch> {
  const ids = await Promise.all(
    pieces.map(({ document, from, to }) =>
      corpus.document(document, from, Math.min(to + 1, corpus.length(document))),
    ),
  );
  const offsets = new Int32Array(pieces.length + 1);
  pieces.forEach(({ from, to }, p) => {
    offsets[p + 1] = offsets[p]! + to - from;
  });
  const tokens = new Int32Array(offsets[pieces.length]!);
  const targets = new Int32Array(tokens.length).fill(IGNORED);
  pieces.forEach(({ from, to }, p) => {
    tokens.set(ids[p]!.subarray(0, to - from), offsets[p]!);
    targets.set(ids[p]!.subarray(1), offsets[p]!);
  });
  return { tokens, targets, offsets };
}
