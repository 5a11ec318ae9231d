import { codePointAt, fillClasses } from "./character_class.ts";
import { scanWords } from "./scan_words.ts";
import { Spans } from "./spans.ts";

/** A text as UTF-16 code units, in memory that goes to the next text that is asked about. */
export interface TextCodes {
  readonly text: string;
  readonly codes: Uint16Array;
  readonly length: number;
  /** Has surrogates, so that it has fewer code points than code units. */
  readonly astral: boolean;
}

export interface TextWords extends TextCodes {
  readonly words: Spans;
}

/** Languages that write no spaces between words: those are segmented by Node's dictionaries (Intl.Segmenter). */
const unspaced = new Set(["zh", "ja", "th", "lo", "km", "my", "bo"]);

let bytes = Buffer.alloc(1 << 16);
let current: TextCodes = {
  text: "",
  codes: new Uint16Array(bytes.buffer, bytes.byteOffset, 0),
  length: 0,
  astral: false,
};

/**
 * The code units of a text. The last text's are kept, for the filters that look at a document one after another; what was
 * returned for another text isn't valid any more.
 */
export function codesOf(text: string): TextCodes {
  if (text === current.text) return current;
  fillClasses();
  if (bytes.length < 2 * text.length) bytes = Buffer.alloc(2 ** Math.ceil(Math.log2(2 * text.length)));
  bytes.write(text, "utf16le");
  const codes = new Uint16Array(bytes.buffer, bytes.byteOffset, text.length);
  current = { text, codes, length: text.length, astral: surrogate.test(text) };
  return current;
}

const surrogate = /[\ud800-\udfff]/;

/** The code units of a text in memory of their own, for pieces of the text that is looked at. */
export function ownCodes(text: string): TextCodes {
  const codes = Uint16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
  return { text, codes, length: text.length, astral: surrogate.test(text) };
}

const words = new Spans();
let counted: { codes: TextCodes; language: string } | undefined;

/** The words of a text; valid until another text's are asked for. `language`: as fastText names it, default English. */
export function wordsOf(text: string, language = "en"): TextWords {
  const codes = codesOf(text);
  if (counted?.codes !== codes || counted.language !== language) {
    words.count = 0;
    findWords(codes, 0, codes.length, language, words);
    counted = { codes, language };
  }
  return { ...codes, words };
}

/** Appends the words of a text's [start, end). */
export function findWords(
  { text, codes }: TextCodes,
  start: number,
  end: number,
  language: string,
  words: Spans,
): void {
  if (!unspaced.has(language)) scanWords(codes, start, end, words);
  else {
    for (let from = start; from < end; ) {
      const to = pieceEnd(text, from, end);
      for (const { index, segment } of segmenter(language).segment(text.slice(from, to))) {
        if (segment.trim() !== "") words.push(from + index, from + index + segment.length);
      }
      from = to;
    }
  }
}

/** Node's segmenter takes time by the square of a text's length: it is given pieces of about so many code units. */
const kPiece = 8192;

/** Where the piece from `from` on ends: behind the first line end that is far enough, or in the middle of an endless line. */
function pieceEnd(text: string, from: number, end: number): number {
  const line = text.indexOf("\n", from + kPiece / 2) + 1;
  if (line > 0 && line <= Math.min(end, from + kPiece)) return line;
  if (from + kPiece >= end) return end;
  // Not between the halves of a surrogate pair.
  return from + kPiece + (/[\udc00-\udfff]/.test(text.charAt(from + kPiece)) ? 1 : 0);
}

const segmenters = new Map<string, Intl.Segmenter>();

function segmenter(language: string): Intl.Segmenter {
  const found = segmenters.get(language) ?? new Intl.Segmenter(language, { granularity: "word" });
  segmenters.set(language, found);
  return found;
}

/** Code points of codes [start, end): what Python's len counts. */
export function codePoints({ codes, astral }: TextCodes, start: number, end: number): number {
  if (!astral) return end - start;
  let count = 0;
  for (let at = start; at < end; count++) at += codePointAt(codes, at, end) > 0xffff ? 2 : 1;
  return count;
}

/** The words themselves, for looking at; filters work on their ranges. */
export function splitWords(text: string, language?: string): string[] {
  const { words } = wordsOf(text, language);
  return Array.from({ length: words.count }, (_, w) => text.slice(words.starts[w], words.ends[w]));
}
