import path from "node:path";
import { ConfigError } from "../core/errors.ts";
import { checkWhole, refuseUnknown } from "../core/options.ts";
import type { BatchSource, TokenBatch } from "../text/token_batch.ts";
import type { Corpus } from "./corpus.ts";
import type { PackedBatches } from "./packed_batches.ts";
import { WeightedTurns, wholeNumbers } from "./weighted_turns.ts";

/** One source of a mixture. */
export interface MixPart {
  /** What `pretrain` takes as data: batches, a source of them, a corpus, or files. */
  data: readonly TokenBatch[] | BatchSource | Corpus | string | readonly string[];
  /** Its share of the tokens, relative to those of the others; 0 leaves it out. */
  weight: number;
  /** What its loss and tokens are reported under. Default: a file's name without its ending, or "source-1" by place. */
  name?: string;
}

/** What `mix` makes: data for `pretrain`. */
export interface Mixture {
  readonly kind: "mix";
  readonly parts: readonly Required<MixPart>[];
  /** Decides the order of documents of files and corpora. Default: the run's. */
  readonly seed?: number | undefined;
}

/**
 * Several sources by weight: replay of what a model has learned while it learns something new (Ibrahim et al. 2024, arXiv
 * 2403.08763, section 4). Each source keeps the order it would have alone.
 *
 * Files and corpora are mixed within each batch, to the token. Of batches that are given as they are, whole ones are drawn,
 * so that at every moment each source's share of the tokens (of the batches, where a source doesn't tell its tokens) is
 * met to less than one batch.
 * @throws ConfigError for weights that are negative, not finite or all 0, and for names that aren't different words.
 */
export function mix(parts: readonly MixPart[], options: { seed?: number } = {}): Mixture {
  refuseUnknown("mix", options, ["seed"]);
  const { seed } = options;
  if (seed !== undefined) checkWhole("mix", { seed }, 0);
  if (parts.length === 0) throw new ConfigError("mix: there is no source, at least one was needed", "parts");
  const named = parts.map((part, i) => {
    refuseUnknown(`mix, source ${i + 1}`, part, ["data", "weight", "name"]);
    const { data, weight, name = fileStem(data) ?? `source-${i + 1}` } = part;
    return { data, weight, name };
  });
  checkParts(named);
  return { kind: "mix", parts: named, seed };
}

/** A file's name without its ending. */
function fileStem(data: MixPart["data"]): string | undefined {
  const file =
    typeof data === "string" ? data : Array.isArray(data) && data.length === 1 ? data[0] : undefined;
  return typeof file === "string" ? path.basename(file).replace(/(.)\..*$/, "$1") : undefined;
}

function checkParts(parts: readonly { name: string; weight: number }[]): void {
  for (const { name, weight } of parts) {
    if (!(Number.isFinite(weight) && weight >= 0))
      throw new ConfigError(
        `mix: weight of ${name} is ${weight}, a finite number from 0 was needed`,
        "weight",
      );
    if (name === "" || name.includes("/"))
      throw new ConfigError(`mix: name is ${JSON.stringify(name)}, a word without "/" was needed`, "name");
    if (parts.filter((other) => other.name === name).length > 1)
      throw new ConfigError(`mix: two sources are named ${name}. Give each a name of its own`, "name");
  }
  if (parts.every(({ weight }) => weight === 0))
    throw new ConfigError(
      `mix: the weights of ${parts.length} sources are all 0, one above was needed`,
      "weight",
    );
}

/** A source that is open, and its share. */
export interface MixedSource {
  name: string;
  weight: number;
  source: BatchSource;
}

/** The batches of a mixture; each says whose documents it holds. */
export function mixBatches(mixed: readonly MixedSource[]): BatchSource {
  checkParts(mixed);
  const fingerprint = {
    mix: mixed.map(({ name, weight, source }) => ({ name, weight, ...source.fingerprint })),
  };
  const rows = mixed.filter(({ source }) => isPacked(source)).map(({ source }) => source as PackedBatches);
  const batchTokens = rows[0]?.batchTokens;
  if (rows.length === mixed.length && rows.every((row) => row.batchTokens === batchTokens))
    return { fingerprint, ...withinBatches(mixed, rows, batchTokens!) };
  return { fingerprint, ...wholeBatches(mixed) };
}

const isPacked = (source: BatchSource): boolean => "range" in source;

/** Every batch holds each source's share, cut from its row where the last batch's part ended. */
function withinBatches(
  mixed: readonly MixedSource[],
  rows: readonly PackedBatches[],
  batchTokens: number,
): BatchSource & Pick<PackedBatches, "batchTokens"> {
  const shares = tokenShares(mixed.map(({ weight }) => weight));
  return {
    batchTokens,
    tokens: () => batchTokens,
    async batch(index) {
      const from = shares(index * batchTokens);
      const to = shares((index + 1) * batchTokens);
      const parts = await Promise.all(rows.map((row, k) => row.range(from[k]!, to[k]!)));
      const sources = parts.map(({ offsets }, k) => ({
        name: mixed[k]!.name,
        documents: offsets.length - 1,
      }));
      return { ...joined(parts), sources: sources.filter(({ documents }) => documents > 0) };
    },
  };
}

/**
 * How many of the first `tokens` tokens come from each source: the first takes its share, rounded down, the next one its
 * share of what is left, and so on. No count ever falls, and each is off by less than the number of sources.
 */
export function tokenShares(weights: readonly number[]): (tokens: number) => number[] {
  const whole = wholeNumbers(weights);
  return (tokens) => {
    let left = BigInt(tokens);
    let weightLeft = whole.reduce((sum, weight) => sum + weight, 0n);
    return whole.map((weight) => {
      const own = weightLeft === 0n ? 0n : (left * weight) / weightLeft;
      left -= own;
      weightLeft -= weight;
      return Number(own);
    });
  };
}

function wholeBatches(mixed: readonly MixedSource[]): BatchSource {
  const known = mixed.every(({ source }) => source.tokens !== undefined);
  const turns = new WeightedTurns(
    mixed.map(({ weight }) => weight),
    (k, index) => (known ? Math.max(1, mixed[k]!.source.tokens!(index)) : 1),
  );
  return {
    async batch(i) {
      const { source: k, index } = turns.turn(i);
      const { name, source } = mixed[k]!;
      const batch = await source.batch(index);
      return { ...batch, sources: [{ name, documents: batch.offsets.length - 1 }] };
    },
    ...(known && {
      tokens: (i: number) => {
        const { source: k, index } = turns.turn(i);
        return mixed[k]!.source.tokens!(index);
      },
    }),
  };
}

/** Batches laid end to end. */
function joined(parts: readonly TokenBatch[]): TokenBatch {
  const total = parts.reduce((n, { tokens }) => n + tokens.length, 0);
  const batch = { tokens: new Int32Array(total), targets: new Int32Array(total), offsets: [0] };
  let at = 0;
  for (const { tokens, targets, offsets } of parts) {
    batch.tokens.set(tokens, at);
    batch.targets.set(targets, at);
    for (const offset of offsets.subarray(1)) batch.offsets.push(at + offset);
    at += tokens.length;
  }
  return { ...batch, offsets: Int32Array.from(batch.offsets) };
}
