import { native } from "../../core/native.ts";

/**
 * What becomes of each character of a text before it is cut into shingles, as a table for the native kernels, from the
 * Unicode data of Node. The rules are datatrove's (utils/text.py): lower case, numbers, punctuation, white space, NFD
 * without combining marks; and those by which spaCy splits English words, where they touch what is left.
 */

/** Punctuation that becomes a space; 9, 10 and 32 are white space anyway. */
const kPunctuation = new Set(
  "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»",
);
const isControl = (code: number): boolean => code < 32 || (code >= 127 && code < 160);

/** White space as Python counts it: without U+FEFF. */
const kSpace = /[\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/u;
const kSeparators = new Set(".,،٫⎖⎗⎘");
/** The kinds and splits of native/text/characters.h. */
const Kind = { copy: 0, drop: 1, space: 2, digit: 3, replace: 4 };
const Split = { none: 0, ends: 1, begin: 2, currency: 3, anywhere: 4 };

const kEnds = new Set("‘‚『』〔〕〈〉⟦⟧¿؟¡·।،۔؛٪;`´:<>");
const kBegin = new Set("§=%");
const kCurrency = new Set("£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿");
/** Symbols by Unicode 11, where spaCy's list stands still: without those that came later. */
const kSymbol = /\p{So}/u;
const kLaterSymbol =
  /[\u166d\u2b97\u2bc9\u2bff\u2e50\u2e51\u2ffc-\u2fff\u31e4-\u31ef\u32ff\ufd40-\ufd4f\ufdcf\ufdfe\ufdff\u{1019c}\u{11fd5}-\u{11ff1}\u{1cc00}-\u{1cfc3}\u{1d1e9}\u{1d1ea}\u{1e14f}\u{1ed2e}\u{1f10d}-\u{1f10f}\u{1f16c}-\u{1f16f}\u{1f1ad}\u{1f6d5}-\u{1f6df}\u{1f6fa}-\u{1f6ff}\u{1f774}-\u{1f77f}\u{1f7d9}-\u{1f7ff}\u{1f8b0}-\u{1f8ff}\u{1f90c}-\u{1f90f}\u{1f93f}\u{1f971}\u{1f972}\u{1f977}-\u{1f979}\u{1f97b}\u{1f9a3}-\u{1f9af}\u{1f9ba}-\u{1f9bf}\u{1f9c3}-\u{1f9cf}\u{1fa00}-\u{1fa5f}\u{1fa70}-\u{1fbff}]/u;

function splitOf(character: string): number {
  if (kEnds.has(character)) return Split.ends;
  if (kBegin.has(character)) return Split.begin;
  if (kCurrency.has(character)) return Split.currency;
  return kSymbol.test(character) && !kLaterSymbol.test(character) ? Split.anywhere : Split.none;
}

/** Planes 0 to 2; of those beyond, only variation selectors are known to the kernels. */
const kCodes = 0x30000;
const kBlock = 256;
const kMayChange = /[\p{Mn}\p{Nd}\p{So}\p{Sc}\p{P}\p{Z}\p{Cc}\p{Sk}\p{Sm}]/u;

/** A character's kind, how it splits words, and what replaces it. */
function fateOf(character: string): { kind: number; split?: number; text?: string } {
  const code = character.codePointAt(0)!;
  if (/\p{Nd}/u.test(character)) return { kind: Kind.digit };
  if (isControl(code) || kSpace.test(character)) return { kind: Kind.space };
  const lower = [...character.toLowerCase()];
  if (lower.every((one) => kPunctuation.has(one))) return { kind: Kind.space };
  const text = lower
    .join("")
    .normalize("NFD")
    .replace(/\p{Mn}/gu, "");
  if (text === "") return { kind: Kind.drop };
  const split = [...text].length === 1 ? splitOf(text) : Split.none;
  return text === character ? { kind: Kind.copy, split } : { kind: Kind.replace, split, text };
}

/** Two numbers a character, and the text of what is replaced: see `Characters` in native/text/characters.h. */
export function characterTable(): { rows: Uint32Array; pool: Uint8Array } {
  const rows = new Uint32Array(2 * kCodes);
  const pool: Buffer[] = [];
  let pooled = 0;
  for (let first = 0; first < kCodes; first += kBlock) {
    if (first >= 0xd800 && first < 0xe000) continue; // surrogates are no characters
    const block = String.fromCodePoint(...Array.from({ length: kBlock }, (_, i) => first + i));
    const plain =
      block.toLowerCase() === block && block.normalize("NFD") === block && !kMayChange.test(block);
    for (const character of plain ? [] : block) {
      const { kind, split = Split.none, text = "" } = fateOf(character);
      const bytes = Buffer.from(text);
      const separator = kSeparators.has(character) ? 1 << 3 : 0;
      const row = 2 * character.codePointAt(0)!;
      rows[row] = kind | separator | (split << 4) | (bytes.length << 8);
      rows[row + 1] = pooled;
      pool.push(bytes);
      pooled += bytes.length;
    }
  }
  return { rows, pool: Buffer.concat(pool) };
}

/** The text kernels, with their table set. Nothing here opens a device. */
export function textKernels(): ReturnType<typeof native>["text"] {
  const { text } = native();
  if (!text.hasCharacters()) {
    const { rows, pool } = characterTable();
    text.setCharacters(rows, pool);
  }
  return text;
}

/**
 * A text as the kernels take it. What a capital sigma becomes depends on its neighbours, which a table can't know, so a
 * text with one is lowered here.
 */
export const kernelText = (text: string): string => (text.includes("Σ") ? text.toLowerCase() : text);
