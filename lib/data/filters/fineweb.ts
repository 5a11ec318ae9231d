import type { Document, Verdict } from "../document.ts";
import { type Filter, filterStep } from "../step.ts";
import { classOf, SPACE } from "../words/character_class.ts";
import { skipSpace, splitAtNewlines } from "../words/lines.ts";
import { terminalMarks } from "../words/marks.ts";
import { Spans } from "../words/spans.ts";
import { codePoints, codesOf, type TextCodes, wordsOf } from "../words/text_words.ts";
import { type Preset, type RuleOptions, ruleSettings, type Threshold } from "./preset.ts";
import { repeatedRanges } from "./repeated.ts";

interface Thresholds {
  /** Least share of lines that end with a stop mark. Default 0.12. */
  linePunctThr: Threshold;
  /** True: a text without any such line passes. Default false. */
  linePunctExcludeZero: boolean;
  /** What a line may end with. Default: the marks that end a sentence in any script; in "fineweb2024" . ' " ! and ?. */
  stopChars: readonly string[];
  /** Greatest share of short lines. Default 0.67. */
  shortLineThr: Threshold;
  /** Code points of a line that still is a short one. Default 30. */
  shortLineLength: number;
  /** Greatest share of characters in lines that came before. Default 0.01. */
  charDuplicatesRatio: Threshold;
  /** Most newlines by words. Default 0.3. */
  newLineRatio: Threshold;
}

export type FinewebOptions = Partial<Thresholds> & RuleOptions;

type Settings = Thresholds & Required<RuleOptions>;

const currentMarks = terminalMarks.map((code) => String.fromCodePoint(code));

const defaultsOf = (preset: Preset): Thresholds => ({
  linePunctThr: 0.12,
  linePunctExcludeZero: false,
  stopChars: preset === "current" ? currentMarks : [".", "'", '"', "!", "?"],
  shortLineThr: 0.67,
  shortLineLength: 30,
  charDuplicatesRatio: 0.01,
  newLineRatio: 0.3,
});

/**
 * Drops lists, menus and repeated lines: the rules that FineWeb added (arXiv 2406.17557, section 3.6), as datatrove applies
 * them, with its reasons. "current" keeps a value right at its threshold and looks at lines that aren't blank;
 * "fineweb2024" drops it, and counts blank lines for the first two rules.
 */
export function fineweb(options: FinewebOptions = {}): Filter {
  const settings: Settings = ruleSettings("filter.fineweb", options, defaultsOf);
  const stops = new Set(settings.stopChars);
  const stopLengths = [...new Set(settings.stopChars.map((stop) => stop.length))];
  const isStop = (text: string, start: number, end: number): boolean =>
    stopLengths.some((length) => end - start >= length && stops.has(text.slice(end - length, end)));
  return filterStep("filter.fineweb", { ...options }, ({ text }: Document): Verdict => {
    const reason = listOrMenu(text, settings, isStop);
    return reason === undefined ? { keep: true } : { keep: false, reason };
  });
}

const lines = new Spans();

function listOrMenu(
  text: string,
  settings: Settings,
  isStop: (text: string, start: number, end: number) => boolean,
): string | undefined {
  const inclusive = settings.preset === "fineweb2024";
  const tooMuch = (value: number, most: Threshold): boolean =>
    most !== null && (inclusive ? value >= most : value > most);
  const tooLittle = (value: number, least: Threshold): boolean =>
    least !== null && (inclusive ? value <= least : value < least);

  const codes = codesOf(text);
  lines.count = 0;
  splitAtNewlines(codes.codes, codes.length, lines);
  const newlines = lines.count - 1;
  const full = fullLines(codes);
  if (!inclusive && full.length === 0) return "empty";

  const looked = inclusive ? lines.count : full.length;
  let stopped = 0;
  let short = looked - full.length;
  for (const [start, end] of full) {
    if (isStop(text, start, end)) stopped++;
    if (end - start <= settings.shortLineLength || codePoints(codes, start, end) <= settings.shortLineLength)
      short++;
  }
  if (tooLittle(stopped / looked, settings.linePunctThr) && !(stopped === 0 && settings.linePunctExcludeZero))
    return "line_punct_ratio";
  if (tooMuch(short / looked, settings.shortLineThr)) return "short_line_ratio";

  const characters = codePoints(codes, 0, codes.length) - newlines;
  const repeated = repeatedRanges(codes, full).characters;
  if (tooMuch(repeated / characters, settings.charDuplicatesRatio)) return "char_dup_ratio";

  if (settings.newLineRatio === null) return undefined;
  const isList = (words: number): boolean => tooMuch(newlines / words, settings.newLineRatio);
  // There are at least as many words as pieces between spaces: where those suffice, words needn't be told apart.
  if (settings.language === "en" && !isList(pieces(codes, 1 + newlines / settings.newLineRatio)))
    return undefined;
  return isList(wordsOf(text, settings.language).words.count) ? "list_ratio" : undefined;
}

/** Lines that aren't blank. */
function fullLines({ codes }: TextCodes): [number, number][] {
  const full: [number, number][] = [];
  for (let l = 0; l < lines.count; l++) {
    const start = lines.starts[l]!;
    const end = lines.ends[l]!;
    if (skipSpace(codes, start, end) < end) full.push([start, end]);
  }
  return full;
}

/** How many pieces stand between white space; more than `enough` needn't be counted. */
function pieces({ codes, length }: TextCodes, enough: number): number {
  let count = 0;
  let before: number = SPACE;
  for (let at = 0; at < length && count <= enough; at++) {
    const space = classOf[codes[at]!]! & SPACE;
    count += before & ~space;
    before = space;
  }
  return count;
}
