import { ConfigError, ShapeError } from "../core/errors.ts";

/**
 * Documents laid end to end, without padding: document d is tokens[offsets[d]] … tokens[offsets[d+1] - 1]. targets[t] is
 * what the model should say after token t; IGNORED where there is no loss.
 */
export interface TokenBatch {
  tokens: Int32Array;
  targets: Int32Array;
  offsets: Int32Array;
  /** Whose documents these are, in order, where a run has several sources: losses and tokens are reported by them. */
  sources?: readonly SourceShare[];
}

/** The next so many documents of a batch come from this source. */
export interface SourceShare {
  name: string;
  documents: number;
}

/**
 * Batches by number. `batch(i)` depends on `i` alone, so that a resumed run reads what the first one would have; numbers
 * run on for ever, a source starts over by itself.
 */
export interface BatchSource<Batch = TokenBatch> {
  /** What tells these batches from others: a run is resumed on the same ones only. */
  readonly fingerprint?: Readonly<Record<string, unknown>>;
  batch(index: number): Batch | Promise<Batch>;
  /** Tokens of batch `index`, where they are known without making it. */
  tokens?(index: number): number;
}

/** The target that carries no loss. */
export const IGNORED = -100;

/**
 * Packs documents of token ids; each position's target is the next token of its document, the last one's is ignored. With
 * `learn`, a flag for each token of each document, only tokens flagged true become targets (loss on completions only).
 * Throws ShapeError for flags that don't fit, ConfigError for what is no token id.
 */
export function packBatch(
  documents: readonly ArrayLike<number>[],
  learn?: readonly ArrayLike<boolean | number>[],
): TokenBatch {
  const total = documents.reduce((sum, document) => sum + document.length, 0);
  const batch: TokenBatch = {
    tokens: new Int32Array(total),
    targets: new Int32Array(total).fill(IGNORED),
    offsets: new Int32Array(documents.length + 1),
  };
  let at = 0;
  documents.forEach((document, d) => {
    const flags = learn?.[d];
    if (learn && flags?.length !== document.length) {
      throw new ShapeError(
        `packBatch: document ${d} has ${document.length} tokens and ${flags?.length ?? "no"} flags, equal lengths were needed`,
        "packBatch",
      );
    }
    const ids = tokenIds("packBatch", document, d);
    batch.tokens.set(ids, at);
    for (let i = 1; i < ids.length; i++) {
      if (!flags || flags[i]) batch.targets[at + i - 1] = ids[i]!;
    }
    at += document.length;
    batch.offsets[d + 1] = at;
  });
  return batch;
}

/** A document's ids, as they are if they are an Int32Array. Throws ConfigError for one that an Int32Array would change. */
export function tokenIds(where: string, document: ArrayLike<number>, index: number): Int32Array {
  if (document instanceof Int32Array) return document;
  return Int32Array.from(document, (id, i) => {
    if ((id | 0) === id && id >= 0) return id;
    throw new ConfigError(
      `${where}: token ${i} of document ${index} is ${id}, a whole number from 0 to ${2 ** 31 - 1} was needed`,
      "documents",
    );
  });
}

/** Positions with a loss. */
export const targetCount = ({ targets }: TokenBatch): number => countTargets(targets);

const countTargets = (targets: Int32Array): number =>
  targets.reduce((n, target) => n + (target === IGNORED ? 0 : 1), 0);

/** A source's part of a batch: tokens [from, to), and how many of them have a target. */
export interface SourcePart {
  name: string;
  from: number;
  to: number;
  targets: number;
}

/** Where each source's part of a batch lies; parts without a token are left out. */
export function sourceParts({ sources = [], offsets, targets }: TokenBatch): SourcePart[] {
  let document = 0;
  return sources
    .map(({ name, documents }) => {
      const from = offsets[document]!;
      document += documents;
      const to = offsets[document]!;
      return { name, from, to, targets: countTargets(targets.subarray(from, to)) };
    })
    .filter(({ from, to }) => to > from);
}

/** Where there are targets: [N] places among the tokens; and where each document's begin among those, [D+1]. */
export function targetPlaces({ targets, offsets }: TokenBatch): { places: Int32Array; starts: Int32Array } {
  const places: number[] = [];
  const starts = [0];
  for (let d = 0; d + 1 < offsets.length; d++) {
    for (let t = offsets[d]!; t < offsets[d + 1]!; t++) if (targets[t] !== IGNORED) places.push(t);
    starts.push(places.length);
  }
  return { places: Int32Array.from(places), starts: Int32Array.from(starts) };
}

/** Position of each token within its document. */
export function positionsOf({ tokens, offsets }: TokenBatch): Int32Array {
  const positions = new Int32Array(tokens.length);
  for (let d = 0; d + 1 < offsets.length; d++) {
    for (let t = offsets[d]!; t < offsets[d + 1]!; t++) positions[t] = t - offsets[d]!;
  }
  return positions;
}

/** Documents `first` up to, not including, `end` of a batch, as a batch. */
export function sliceDocuments(batch: TokenBatch, first: number, end: number): TokenBatch {
  const from = batch.offsets[first]!;
  const to = batch.offsets[end]!;
  return {
    tokens: batch.tokens.subarray(from, to),
    targets: batch.targets.subarray(from, to),
    offsets: batch.offsets.slice(first, end + 1).map((offset) => offset - from),
  };
}
