import type { Document, Verdict } from "../document.ts";
import { type Filter, filterStep } from "../step.ts";
import { classOf, SPACE } from "../words/character_class.ts";
import { skipSpace, splitLines, trimEnd } from "../words/lines.ts";
import { eachSentence } from "../words/sentences.ts";
import { Spans } from "../words/spans.ts";
import { codePoints, codesOf, ownCodes, type TextCodes } from "../words/text_words.ts";
import { type RuleOptions, ruleSettings, type Threshold } from "./preset.ts";

interface Thresholds {
  /** True: judges lines; false: sentences, joined by spaces. Default true. */
  splitParagraph: boolean;
  /** Takes [1], [edit] and [citation needed] out of lines. Default true. */
  removeCitations: boolean;
  /** Leaves out lines that don't end with . ? ! " or ', or end with three dots. Default true; FineWeb sets it to false. */
  filterNoTerminalPunct: boolean;
  /** Fewest sentences of the lines that are left. Default 5. */
  minNumSentences: Threshold;
  /** Leaves out lines of fewer words. Default 3. */
  minWordsPerLine: Threshold;
  /** Leaves out lines with a longer word, in code points. Default 1000. */
  maxWordLength: Threshold;
  /** Drops the document where a line has "lorem ipsum". Default true. */
  filterLoremIpsum: boolean;
  /** Leaves out lines with "javascript". Default true. */
  filterJavascript: boolean;
  /** Drops the document where a line has a {. Default true. */
  filterCurlyBracket: boolean;
  /** Leaves out lines of cookie notices and terms of use. Default true. */
  filterPolicy: boolean;
}

export type C4Options = Partial<Thresholds> & RuleOptions;

type Settings = Thresholds & Required<RuleOptions>;

const defaults: Thresholds = {
  splitParagraph: true,
  removeCitations: true,
  filterNoTerminalPunct: true,
  minNumSentences: 5,
  minWordsPerLine: 3,
  maxWordLength: 1000,
  filterLoremIpsum: true,
  filterJavascript: true,
  filterCurlyBracket: true,
  filterPolicy: true,
};

const citation = /\[\d*\]|\[edit\]|\[citation needed\]/g;
const policies = [
  "terms of use",
  "privacy policy",
  "cookie policy",
  "uses cookies",
  "use of cookies",
  "use cookies",
];

/**
 * Leaves out a page's lines that aren't prose, and drops the page where too little is left: the rules of C4 (arXiv 1910.10683,
 * section 2.2, and the code of its data set), as datatrove applies them, with its reasons. A kept document goes on with the
 * lines that are left. Both presets are the same here.
 */
export function c4(options: C4Options = {}): Filter {
  const settings: Settings = ruleSettings("filter.c4", options, () => defaults);
  return filterStep("filter.c4", { ...options }, ({ text }: Document): Verdict => clean(text, settings));
}

const spans = new Spans();

function clean(text: string, settings: Settings): Verdict {
  const { splitParagraph, minNumSentences } = settings;
  const codes = codesOf(text);
  spans.count = 0;
  if (splitParagraph) splitLines(codes.codes, codes.length, spans);
  else splitSentences(codes, settings.language);
  // Whether a phrase stands anywhere is found much faster than where.
  const suspicious = hasPhrase(text.toLowerCase());
  const kept: string[] = [];
  let sentences = 0;
  for (let l = 0; l < spans.count; l++) {
    const end = trimEnd(codes.codes, spans.starts[l]!, spans.ends[l]!);
    const start = skipSpace(codes.codes, spans.starts[l]!, end);
    if (wordsUnfit(codes, start, end, settings)) continue;
    const raw = text.slice(start, end);
    const line = settings.removeCitations && raw.includes("[") ? raw.replace(citation, "") : raw;
    if (settings.filterNoTerminalPunct && !endsAsProse(line)) continue;
    const fault = suspicious || line !== raw || line.includes("{") ? faultOf(line, settings) : undefined;
    if (fault === "line") continue;
    if (fault !== undefined) return { keep: false, reason: fault };
    kept.push(line);
    if (minNumSentences === null || sentences >= minNumSentences) continue;
    const piece: Piece = line === raw ? [codes, start, end] : [ownCodes(line), 0, line.length];
    sentences += splitParagraph ? sentencesOf(piece, settings.language, minNumSentences - sentences) : 1;
  }
  if (minNumSentences !== null && sentences < minNumSentences)
    return { keep: false, reason: "too_few_sentences" };
  const joined = kept.join(splitParagraph ? "\n" : " ");
  return { keep: true, text: stripped(joined) };
}

/** Whether a line is left out for the length or the number of its words: those that spaces part, before citations go. */
function wordsUnfit(
  text: TextCodes,
  start: number,
  end: number,
  { maxWordLength, minWordsPerLine }: Settings,
): boolean {
  // In a short line no word is too long.
  const longest =
    maxWordLength !== null && end - start > maxWordLength ? maxWordLength : Number.POSITIVE_INFINITY;
  let words = 0;
  for (let at = start; at < end; ) {
    if (longest === Number.POSITIVE_INFINITY && words >= (minWordsPerLine ?? 0)) return false;
    const from = at;
    while (at < end && !(classOf[text.codes[at]!]! & SPACE)) at++;
    words++;
    if (at - from > longest && codePoints(text, from, at) > longest) return true;
    at = skipSpace(text.codes, at, end);
  }
  return minWordsPerLine !== null && words < minWordsPerLine;
}

const endsAsProse = (line: string): boolean => `.?!"'`.includes(line.at(-1) ?? " ") && !line.endsWith("...");

const hasPhrase = (lower: string): boolean =>
  lower.includes("javascript") ||
  lower.includes("lorem ipsum") ||
  policies.some((policy) => lower.includes(policy));

/** "line" where a line is left out, the reason where it costs the whole document. */
function faultOf(line: string, settings: Settings): string | undefined {
  const lower = line.toLowerCase();
  if (settings.filterLoremIpsum && lower.includes("lorem ipsum")) return "lorem_ipsum";
  if (settings.filterJavascript && lower.includes("javascript")) return "line";
  if (settings.filterCurlyBracket && line.includes("{")) return "curly_bracket";
  if (settings.filterPolicy && policies.some((policy) => lower.includes(policy))) return "line";
  return undefined;
}

type Piece = readonly [text: TextCodes, start: number, end: number];

/** Sentences of a piece of text; more than `enough` aren't counted. */
function sentencesOf([text, start, end]: Piece, language: string, enough: number): number {
  let count = 0;
  eachSentence(text, start, end, language, () => ++count < enough);
  return count;
}

function splitSentences(text: TextCodes, language: string): void {
  const { length } = text;
  let from = 0;
  eachSentence(text, 0, length, language, (start) => {
    if (start > from) spans.push(from, start);
    from = start;
    return true;
  });
  if (length > from) spans.push(from, length);
}

/** Without white space at its ends, as Python sees it. */
function stripped(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && classOf[text.charCodeAt(start)]! & SPACE) start++;
  while (end > start && classOf[text.charCodeAt(end - 1)]! & SPACE) end--;
  return text.slice(start, end);
}
