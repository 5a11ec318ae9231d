import { ConfigError } from "../../core/errors.ts";
import { checkOneOf, checkWhole } from "../../core/options.ts";
import { permutations } from "./parameters.ts";

/** How a text becomes a signature. What differs here gives files that can't be compared. */
export interface SignatureOptions {
  /** Words a shingle; a text of fewer words has no signature and is never a duplicate. Default: 5. */
  readonly ngram?: number;
  /** Default: 14. */
  readonly buckets?: number;
  /** Two texts match if all values of one bucket are equal. Default: 8. */
  readonly hashesPerBucket?: number;
  /** Of shingles. FineWeb took sha1, the default; datatrove takes xxhash where nothing is said, at 64 bits also called xxh64. */
  readonly hash?: "sha1" | "xxhash" | "xxh64" | "xxhash64";
  /** Bits of a value, 64 by default. */
  readonly precision?: 32 | 64;
  /** Of the permutations. Default: 1. */
  readonly seed?: number;
  /** How words are found: as spaCy splits English ("cannot" is two), which datatrove uses, or at spaces alone. */
  readonly words?: "english" | "spaces";
}

export type SignatureSettings = Required<SignatureOptions> & { readonly hash: "sha1" | "xxhash" };

export const signatureKeys = [
  "ngram",
  "buckets",
  "hashesPerBucket",
  "hash",
  "precision",
  "seed",
  "words",
] as const;

/** The options with their defaults. @throws ConfigError naming the key that is out of range. */
export function signatureSettings(where: string, options: SignatureOptions): SignatureSettings {
  const { ngram = 5, buckets = 14, hashesPerBucket = 8, precision = 64 } = options;
  const { hash: named = "sha1" } = options;
  const { seed = 1, words = "english" } = options;
  checkWhole(where, { ngram, buckets, hashesPerBucket }, 1);
  checkWhole(where, { seed }, 0);
  if (seed >= 2 ** 32) throw new ConfigError(`${where}: seed is ${seed}, below 2^32 was needed`, "seed");
  if (buckets > 1000)
    throw new ConfigError(`${where}: buckets is ${buckets}, at most 1000 was needed`, "buckets");
  checkOneOf(
    where,
    "hash",
    named,
    precision === 32 ? ["sha1", "xxhash"] : ["sha1", "xxhash", "xxh64", "xxhash64"],
  );
  const hash = named === "sha1" ? named : "xxhash";
  checkOneOf(where, "words", words, ["english", "spaces"]);
  if (precision !== 32 && precision !== 64)
    throw new ConfigError(`${where}: precision is ${precision}, 32 or 64 was needed`, "precision");
  return { ngram, buckets, hashesPerBucket, hash, precision, seed, words };
}

const drawn = new Map<string, ReturnType<typeof permutations>>();

/** The permutations of some settings, drawn once. */
export function permutationsOf({ buckets, hashesPerBucket, seed }: SignatureSettings) {
  const count = buckets * hashesPerBucket;
  const key = `${count} ${seed}`;
  const known = drawn.get(key) ?? permutations(count, seed);
  drawn.set(key, known);
  return known;
}
