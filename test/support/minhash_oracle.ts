import { createHash } from "node:crypto";

/** Datatrove's rules for MinHash again, slow and obvious: what the native text kernels are held against. */

const kPunctuation = [
  ..."!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»",
  ...[
    [0, 9],
    [11, 13],
    [13, 32],
    [127, 160],
  ].flatMap(([from, to]) => Array.from({ length: to! - from! }, (_, i) => String.fromCharCode(from! + i))),
];
/** White space as Python counts it, beside what is punctuation above. */
const kSpaces = /[\t\n \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/gu;

export function normalizeSlowly(text: string): string {
  const numbers = text.toLowerCase().replace(/\p{Nd}+([.,،٫⎖⎗⎘]\p{Nd}+)?/gu, "0");
  const spaced = [...numbers].map((one) => (kPunctuation.includes(one) ? " " : one)).join("");
  const trim = (line: string) => line.replace(/^ +| +$/g, "");
  const collapsed = trim(spaced.replace(kSpaces, " "));
  return trim(collapsed.normalize("NFD").replace(/\p{Mn}/gu, ""));
}

export function shinglesSlowly(text: string, ngram: number): string[] {
  const words = normalizeSlowly(text)
    .split(" ")
    .filter((word) => word !== "");
  return words
    .slice(0, Math.max(0, words.length - ngram + 1))
    .map((_, i) => words.slice(i, i + ngram).join(" "));
}

const kPrime = 2n ** 61n - 1n;

export function minimaSlowly(
  hashes: readonly bigint[],
  { a, b, bits }: { a: ArrayLike<bigint>; b: ArrayLike<bigint>; bits: number },
): bigint[] {
  return Array.from(a, (factor, i) => {
    const values = hashes.map(
      (hash) => (((hash * factor + b[i]!) % 2n ** 64n) % kPrime) % 2n ** BigInt(bits),
    );
    return values.reduce((least, value) => (value < least ? value : least));
  });
}

export const sha1Slowly = (text: string): bigint =>
  createHash("sha1").update(text).digest().readBigUInt64LE();
