import {
  codePointAt,
  codePointClass,
  DIGIT,
  LETTER,
  LOWER,
  PUNCTUATION,
  SPACE,
  TERMINAL,
  UPPER,
} from "../words/character_class.ts";
import { skipSpace, splitLines, trimEnd } from "../words/lines.ts";
import { Spans } from "../words/spans.ts";
import { type TextWords, wordsOf } from "../words/text_words.ts";

/** A number that a text has: what FineWeb's custom filters were found by (Penedo et al. 2024, §3.6 and appendix E). */
export interface Measure {
  readonly name: string;
  /** Shares lie between 0 and 1; counts are 0 or more. */
  readonly kind: "share" | "count";
}

const share = (name: string): Measure => ({ name, kind: "share" });
const count = (name: string): Measure => ({ name, kind: "count" });

/** The measures of a text, in the order in which measuresOf gives their values. */
export const kMeasures = [
  count("characters"),
  count("words"),
  count("mean word length"),
  share("words of 3 characters or less"),
  share("words of 7 characters or more"),
  share("different words"),
  count("lines"),
  count("mean line length"),
  share("lines of 30 characters or less"),
  share("lines that end with a terminal mark"),
  share("lines that begin with a bullet"),
  share("lines that come again"),
  share("characters in lines that come again"),
  share("white space"),
  share("digits"),
  share("capitals"),
  share("punctuation"),
  share("neither letters nor digits"),
  share("line ends by words"),
  count("paragraphs"),
] as const satisfies readonly Measure[];

const lines = new Spans();

/**
 * Values of kMeasures. Lengths are in UTF-16 code units; empty lines don't count as lines. NaN where there is nothing to
 * divide by: a text without words has no mean word length.
 */
export function measuresOf(text: string, language?: string): number[] {
  const words = wordsOf(text, language);
  return [
    text.length,
    ...wordMeasures(words),
    ...lineMeasures(words),
    ...characterMeasures(words),
    paragraphs(text),
  ];
}

function wordMeasures({ text, words }: TextWords): number[] {
  const different = new Set<string>();
  let [sum, short, long] = [0, 0, 0];
  for (let w = 0; w < words.count; w++) {
    const [start, end] = [words.starts[w]!, words.ends[w]!];
    sum += end - start;
    if (end - start <= 3) short++;
    if (end - start >= 7) long++;
    different.add(text.slice(start, end));
  }
  const n = words.count;
  return [n, sum / n, short / n, long / n, different.size / n];
}

function lineMeasures({ text, codes, length }: TextWords): number[] {
  lines.count = 0;
  splitLines(codes, length, lines);
  const seen = new Set<string>();
  let [n, sum, short, terminal, bullets, again, againCharacters] = [0, 0, 0, 0, 0, 0, 0];
  for (let l = 0; l < lines.count; l++) {
    const end = trimEnd(codes, lines.starts[l]!, lines.ends[l]!);
    const start = skipSpace(codes, lines.starts[l]!, end);
    if (start === end) continue;
    n++;
    sum += end - start;
    if (end - start <= 30) short++;
    if (codePointClass(codes[end - 1]!) & TERMINAL) terminal++;
    if (codes[start] === 0x2022 || codes[start] === 0x2d) bullets++;
    const line = text.slice(start, end);
    if (seen.has(line)) {
      again++;
      againCharacters += line.length;
    } else seen.add(line);
  }
  return [n, sum / n, short / n, terminal / n, bullets / n, again / n, againCharacters / sum];
}

function characterMeasures({ codes, length, text, words }: TextWords): number[] {
  let [n, space, digits, capitals, punctuation, other, ends] = [0, 0, 0, 0, 0, 0, 0];
  for (let at = 0; at < length; n++) {
    const code = codePointAt(codes, at, length);
    at += code > 0xffff ? 2 : 1;
    const bits = codePointClass(code);
    if (bits & SPACE) space++;
    if (bits & DIGIT) digits++;
    if (bits & PUNCTUATION) punctuation++;
    if (!(bits & (LETTER | DIGIT))) other++;
    if (code === 0x0a) ends++;
    if (isCapital(bits)) capitals++;
  }
  const of = (value: number): number => value / (text.length === 0 ? 0 : n);
  return [of(space), of(digits), of(capitals), of(punctuation), of(other), ends / words.count];
}

const isCapital = (bits: number): boolean => (bits & UPPER) !== 0 && (bits & LOWER) === 0;

const paragraphs = (text: string): number =>
  text.split(/\n\s*\n/).filter((part) => part.trim() !== "").length;
