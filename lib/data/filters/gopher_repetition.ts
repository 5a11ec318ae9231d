import { ConfigError } from "../../core/errors.ts";
import type { Document, Verdict } from "../document.ts";
import { type Filter, filterStep } from "../step.ts";
import { skipSpace, trimEnd } from "../words/lines.ts";
import { codePoints, codesOf, type TextCodes, wordsOf } from "../words/text_words.ts";
import { Ngrams } from "./ngrams.ts";
import { above, type RuleOptions, ruleSettings, type Threshold } from "./preset.ts";
import { repeatedRanges } from "./repeated.ts";

/** Words of an n-gram, and the greatest share of the text's characters. */
export type NgramShare = readonly [n: number, share: number];

interface Thresholds {
  /** Greatest share of paragraphs, of lines, that came before. Default 0.3. */
  dupParaFrac: Threshold;
  dupLineFrac: Threshold;
  /** Greatest share of the text's characters in them. Default 0.2. */
  dupParaCharFrac: Threshold;
  dupLineCharFrac: Threshold;
  /** Greatest share of the most frequent n-gram, each time it stands there. Default 2: 0.2, 3: 0.18, 4: 0.16. */
  topNGrams: readonly NgramShare[];
  /** Greatest share of n-grams that came before. Default 5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1. */
  dupNGrams: readonly NgramShare[];
}

export type GopherRepetitionOptions = Partial<Thresholds> & RuleOptions;

const defaults: Thresholds = {
  dupLineFrac: 0.3,
  dupParaFrac: 0.3,
  dupLineCharFrac: 0.2,
  dupParaCharFrac: 0.2,
  topNGrams: [
    [2, 0.2],
    [3, 0.18],
    [4, 0.16],
  ],
  dupNGrams: [
    [5, 0.15],
    [6, 0.14],
    [7, 0.13],
    [8, 0.12],
    [9, 0.11],
    [10, 0.1],
  ],
};

const ngrams = new Ngrams();

/**
 * Drops texts that repeat themselves: the rules of Gopher (arXiv 2112.11446, table A1), as datatrove applies them, with its
 * reasons. Characters are code points; shares are of the whole text. Both presets are the same here. An empty text is kept.
 */
export function gopherRepetition(options: GopherRepetitionOptions = {}): Filter {
  const settings = ruleSettings("filter.gopherRepetition", options, () => defaults);
  checkShares("topNGrams", settings.topNGrams);
  checkShares("dupNGrams", settings.dupNGrams);
  return filterStep("filter.gopherRepetition", { ...options }, ({ text }: Document): Verdict => {
    const reason = text === "" ? undefined : repetition(text, settings);
    return reason === undefined ? { keep: true } : { keep: false, reason };
  });
}

function repetition(text: string, settings: Thresholds & { language: string }): string | undefined {
  const codes = codesOf(text);
  const characters = codePoints(codes, 0, codes.length);
  const ofText = (length: number, threshold: Threshold): boolean => above(length / characters, threshold);

  const paragraphs = paragraphsOf(codes);
  const repeatedParagraphs = repeatedRanges(codes, paragraphs);
  if (above(repeatedParagraphs.count / paragraphs.length, settings.dupParaFrac)) return "dup_para_frac";
  if (ofText(repeatedParagraphs.characters, settings.dupParaCharFrac)) return "dup_para_char_frac";

  const lines = newlineRuns(codes, 0, codes.length, 1);
  const repeatedLines = repeatedRanges(codes, lines);
  if (above(repeatedLines.count / lines.length, settings.dupLineFrac)) return "dup_line_frac";
  if (ofText(repeatedLines.characters, settings.dupLineCharFrac)) return "dup_line_char_frac";

  ngrams.load(wordsOf(text, settings.language));
  for (const [n, share] of settings.topNGrams) {
    if (ofText(ngrams.topLength(n), share)) return `top_${n}_gram`;
  }
  for (const [n, share] of settings.dupNGrams) {
    if (ofText(ngrams.duplicateLength(n), share)) return `duplicated_${n}_n_grams`;
  }
  return undefined;
}

/** What blank lines part, without white space at the text's ends. */
function paragraphsOf({ codes, length }: TextCodes): [number, number][] {
  const start = skipSpace(codes, 0, length);
  return newlineRuns({ codes }, start, trimEnd(codes, start, length), 2);
}

/** What runs of at least `least` newlines part; empty at an end where such a run stands. */
function newlineRuns(
  { codes }: Pick<TextCodes, "codes">,
  start: number,
  end: number,
  least: number,
): [number, number][] {
  const ranges: [number, number][] = [];
  let from = start;
  let at = codes.indexOf(0x0a, start);
  while (at >= 0 && at < end) {
    let stop = at + 1;
    while (stop < end && codes[stop] === 0x0a) stop++;
    if (stop - at >= least) {
      ranges.push([from, at]);
      from = stop;
    }
    at = codes.indexOf(0x0a, stop);
  }
  ranges.push([from, end]);
  return ranges;
}

function checkShares(key: string, shares: readonly NgramShare[]): void {
  for (const pair of shares) {
    const [n, share] = Array.isArray(pair) ? (pair as NgramShare) : [0, 0];
    if (Number.isSafeInteger(n) && n >= 1 && Number.isFinite(share) && share >= 0) continue;
    throw new ConfigError(
      `filter.gopherRepetition: ${key} has ${JSON.stringify(pair)}, pairs of a whole number of words and a share were needed`,
      key,
    );
  }
}
