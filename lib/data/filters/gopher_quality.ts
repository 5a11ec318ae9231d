import type { Document, Verdict } from "../document.ts";
import { type Filter, filterStep } from "../step.ts";
import { codePointAt, codePointClass, LETTER, SYMBOL, SYMBOL_2024 } from "../words/character_class.ts";
import { skipSpace, splitLines, trimEnd } from "../words/lines.ts";
import { Spans } from "../words/spans.ts";
import { type TextWords, wordsOf } from "../words/text_words.ts";
import { above, below, type Preset, type RuleOptions, ruleSettings, type Threshold } from "./preset.ts";

interface Thresholds {
  /** Words that are more than marks. Default 50 to 100,000. */
  minDocWords: Threshold;
  maxDocWords: Threshold;
  /** Mean length of those words in code points. Default 3 to 10. */
  minAvgWordLength: Threshold;
  maxAvgWordLength: Threshold;
  /** Hash signs by words, and ellipses by words. Default 0.1. */
  maxSymbolWordRatio: Threshold;
  /** Share of lines that begin with • or -. Default 0.9. */
  maxBulletLinesRatio: Threshold;
  /** Share of lines that end with an ellipsis. Default 0.3. */
  maxEllipsisLinesRatio: Threshold;
  /** Least share of words with a letter in them, in spite of the name that datatrove gave it. Default 0.8. */
  maxNonAlphaWordsRatio: Threshold;
  /** Stop words in the text: different ones, but every occurrence in "fineweb2024". Default 2. */
  minStopWords: Threshold;
  /** Default: the, be, to, of, and, that, have, with. */
  stopWords: readonly string[];
}

export type GopherQualityOptions = Partial<Thresholds> & RuleOptions;

type Settings = Thresholds & Required<RuleOptions>;

const defaults: Thresholds = {
  minDocWords: 50,
  maxDocWords: 100_000,
  minAvgWordLength: 3,
  maxAvgWordLength: 10,
  maxSymbolWordRatio: 0.1,
  maxBulletLinesRatio: 0.9,
  maxEllipsisLinesRatio: 0.3,
  maxNonAlphaWordsRatio: 0.8,
  minStopWords: 2,
  stopWords: ["the", "be", "to", "of", "and", "that", "have", "with"],
};

/**
 * Drops texts that are too short, too long or no prose: the quality rules of Gopher (arXiv 2112.11446, appendix A1), as
 * datatrove applies them, in its order and with its reasons. A value right at a threshold is kept.
 */
export function gopherQuality(options: GopherQualityOptions = {}): Filter {
  const settings: Settings = ruleSettings("filter.gopherQuality", options, () => defaults);
  const stopWords = new Set(settings.stopWords);
  return filterStep("filter.gopherQuality", { ...options }, ({ text }: Document): Verdict => {
    const reason = lackOfQuality(text, settings, stopWords);
    return reason === undefined ? { keep: true } : { keep: false, reason };
  });
}

function lackOfQuality(text: string, settings: Settings, stopWords: ReadonlySet<string>): string | undefined {
  const words = wordsOf(text, settings.language);
  const count = words.words.count;
  const { proper, properLength, withLetter } = countWords(words, settings.preset);
  if (below(proper, settings.minDocWords)) return "gopher_short_doc";
  if (above(proper, settings.maxDocWords)) return "gopher_long_doc";
  // A text without words has no ratios (0 / 0): no rule is broken by them.
  const mean = properLength / proper;
  if (below(mean, settings.minAvgWordLength)) return "gopher_below_avg_threshold";
  if (above(mean, settings.maxAvgWordLength)) return "gopher_above_avg_threshold";
  const ellipses = occurrences(text, "...") + occurrences(text, "…");
  if (above(occurrences(text, "#") / count, settings.maxSymbolWordRatio)) return "gopher_too_many_hashes";
  if (above(ellipses / count, settings.maxSymbolWordRatio)) return "gopher_too_many_ellipsis";
  const { bullets, endEllipses, lines } = countLines(words);
  if (above(bullets / lines, settings.maxBulletLinesRatio)) return "gopher_too_many_bullets";
  if (above(endEllipses / lines, settings.maxEllipsisLinesRatio)) return "gopher_too_many_end_ellipsis";
  if (below(withLetter / count, settings.maxNonAlphaWordsRatio)) return "gopher_below_alpha_threshold";
  if (!hasStopWords(words, settings, stopWords)) return "gopher_enough_stop_words";
  return undefined;
}

/** Words that are more than marks, the sum of their lengths in code points, and words with a letter in them. */
function countWords({ codes, words }: TextWords, preset: Preset) {
  const symbol = preset === "fineweb2024" ? SYMBOL_2024 : SYMBOL;
  let proper = 0;
  let properLength = 0;
  let withLetter = 0;
  for (let w = 0; w < words.count; w++) {
    const end = words.ends[w]!;
    let every = symbol;
    let any = 0;
    let length = 0;
    for (let at = words.starts[w]!; at < end; length++) {
      const code = codePointAt(codes, at, end);
      const bits = codePointClass(code);
      every &= bits;
      any |= bits;
      at += code > 0xffff ? 2 : 1;
    }
    if (!every) {
      proper++;
      properLength += length;
    }
    if (any & LETTER) withLetter++;
  }
  return { proper, properLength, withLetter };
}

/** How often a mark stands in a text, overlaps not counted. */
function occurrences(text: string, mark: string): number {
  let count = 0;
  for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at + mark.length)) count++;
  return count;
}

const DOT = 0x2e;
const ELLIPSIS = 0x2026;
const lineSpans = new Spans();

function countLines({ codes, length }: TextWords) {
  lineSpans.count = 0;
  splitLines(codes, length, lineSpans);
  let bullets = 0;
  let endEllipses = 0;
  for (let l = 0; l < lineSpans.count; l++) {
    const end = trimEnd(codes, lineSpans.starts[l]!, lineSpans.ends[l]!);
    const start = skipSpace(codes, lineSpans.starts[l]!, end);
    if (start === end) continue;
    if (codes[start] === 0x2022 || codes[start] === 0x2d) bullets++;
    const dots =
      end - start >= 3 && codes[end - 1] === DOT && codes[end - 2] === DOT && codes[end - 3] === DOT;
    if (dots || codes[end - 1] === ELLIPSIS) endEllipses++;
  }
  return { bullets, endEllipses, lines: lineSpans.count };
}

function hasStopWords(
  { text, words }: TextWords,
  { minStopWords, preset }: Settings,
  stopWords: ReadonlySet<string>,
): boolean {
  if (minStopWords === null || minStopWords <= 0) return true;
  const longest = Math.max(0, ...[...stopWords].map((word) => word.length));
  const seen = new Set<string>();
  let count = 0;
  for (let w = 0; w < words.count; w++) {
    const start = words.starts[w]!;
    const end = words.ends[w]!;
    if (end - start > longest) continue;
    const word = text.slice(start, end);
    if (!stopWords.has(word)) continue;
    if (preset === "current" && seen.has(word)) continue;
    seen.add(word);
    if (++count >= minStopWords) return true;
  }
  return false;
}
