import { ShapeError } from "../../core/errors.ts";
import { checkNumber, checkWhole, refuseUnknown } from "../../core/options.ts";
import { kernelText, textKernels } from "./characters.ts";
import {
  permutationsOf,
  type SignatureOptions,
  signatureKeys,
  signatureSettings,
} from "./signature_options.ts";
import { UnionFind } from "./union_find.ts";

/**
 * MinHash (Broder 1997) with locality-sensitive buckets, as FineWeb's deduplication takes it (datatrove, pipeline/dedup and
 * utils/text.py). 64-bit values are bigint.
 */

/** Lower case, each number "0", punctuation a space, one space at a time, without accents. */
export const normalize = (text: string): string => textKernels().normalize(kernelText(text));

/** Every run of `ngram` words (default 5) of the normalised text, joined by spaces; none if it has fewer. */
export function shingles(
  text: string,
  { ngram = 5, words: splitting = "english" }: Pick<SignatureOptions, "ngram" | "words"> = {},
): string[] {
  signatureSettings("shingles", { ngram, words: splitting });
  const words = textKernels().words(kernelText(text), splitting);
  return Array.from({ length: Math.max(0, words.length - ngram + 1) }, (_, i) =>
    words.slice(i, i + ngram).join(" "),
  );
}

/** The first 8 bytes of the SHA-1 of a text in UTF-8, as a little-endian number. */
export const sha1Hash64 = (text: string): bigint => textKernels().hash(text, "sha1", 64);

/**
 * The signature of a text: buckets · hashesPerBucket values, those of a bucket side by side. Empty if the text has fewer
 * words than a shingle.
 * @throws ConfigError for an option out of range.
 */
export function signature(text: string, options: SignatureOptions = {}): BigUint64Array {
  refuseUnknown("signature", options, signatureKeys);
  const settings = signatureSettings("signature", options);
  const { a, b } = permutationsOf(settings);
  const { ngram, hash, precision, words } = settings;
  return (
    textKernels().signature(kernelText(text), ngram, hash, precision, words, a, b) ?? new BigUint64Array(0)
  );
}

type Bands = Pick<SignatureOptions, "buckets" | "hashesPerBucket">;

/** The chance that two texts of Jaccard similarity `s` match: 1 − (1 − s^hashesPerBucket)^buckets. */
export function collisionProbability(s: number, { buckets = 14, hashesPerBucket = 8 }: Bands = {}): number {
  checkNumber("collisionProbability", { s }, 0, 1);
  checkWhole("collisionProbability", { buckets, hashesPerBucket }, 1);
  return 1 - (1 - s ** hashesPerBucket) ** buckets;
}

/** The buckets in which two signatures are equal. Texts without a signature match nothing. */
export function equalBuckets(
  a: ArrayLike<bigint>,
  b: ArrayLike<bigint>,
  { buckets = 14, hashesPerBucket = 8 }: Bands = {},
): number[] {
  checkWhole("equalBuckets", { buckets, hashesPerBucket }, 1);
  if (a.length === 0 || b.length === 0) return [];
  const values = buckets * hashesPerBucket;
  if (a.length !== values || b.length !== values) {
    throw new ShapeError(
      `equalBuckets: signatures of ${a.length} and ${b.length} values, ${values} were needed (${buckets} buckets of ${hashesPerBucket}). Pass the options that they were made with`,
      "equalBuckets",
    );
  }
  const found: number[] = [];
  for (let bucket = 0; bucket < buckets; bucket++) {
    let i = bucket * hashesPerBucket;
    const end = i + hashesPerBucket;
    while (i < end && a[i] === b[i]) i++;
    if (i === end) found.push(bucket);
  }
  return found;
}

/** Sets of 0 … count − 1 that edges connect, each ascending, by their first members; what no edge touches is alone. */
export function clusters(count: number, edges: Iterable<readonly [number, number]>): number[][] {
  checkWhole("clusters", { count }, 0);
  const sets = new UnionFind(count);
  for (const [a, b] of edges) {
    for (const end of [a, b]) {
      if (!(Number.isInteger(end) && end >= 0 && end < count))
        throw new ShapeError(`clusters: an edge ends at ${end}, 0 to ${count - 1} was needed`, "clusters");
    }
    sets.join(a, b);
  }
  const members = new Map<number, number[]>();
  for (let i = 0; i < count; i++) {
    const root = sets.root(i);
    const set = members.get(root);
    if (set) set.push(i);
    else members.set(root, [i]);
  }
  return [...members.values()];
}
