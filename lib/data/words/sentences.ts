import { codePointAt, codePointClass, PUNCTUATION, SENTENCE_END } from "./character_class.ts";
import { Spans } from "./spans.ts";
import { findWords, type TextCodes } from "./text_words.ts";

const SPACE_CODE = 0x20;
const words = new Spans();

/**
 * Calls `found` with the start of each sentence of a text's [start, end) until it returns false: a sentence begins at the first
 * word that isn't punctuation after a mark that ends one (spaCy's sentencizer, which datatrove counts sentences with).
 */
export function eachSentence(
  text: TextCodes,
  start: number,
  end: number,
  language: string,
  found: (start: number) => boolean,
): void {
  if (start >= end) return;
  words.count = 0;
  findWords(text, start, end, language, words);
  const { codes } = text;
  if (!found(start)) return;
  let ended = false;
  let last = start - 1;
  for (let w = 0; w < words.count; w++) {
    const from = words.starts[w]!;
    const to = words.ends[w]!;
    // White space is a word of its own for the tokenizer, but for one plain space between words.
    if (ended && isGap(codes, last, from)) {
      if (!found(afterSpace(codes, last))) return;
      ended = false;
    }
    const kind = wordKind(codes, from, to);
    if (kind & SENTENCE_END) ended = true;
    else if (ended && !(kind & PUNCTUATION)) {
      if (!found(from)) return;
      ended = false;
    }
    last = to;
  }
  if (ended && isGap(codes, last, end)) found(afterSpace(codes, last));
}

const isGap = (codes: Uint16Array, from: number, to: number): boolean =>
  to - from > 1 || (to - from === 1 && codes[from] !== SPACE_CODE);

/** Where white space that is a word begins: one plain space belongs to the word before. */
const afterSpace = (codes: Uint16Array, at: number): number => (codes[at] === SPACE_CODE ? at + 1 : at);

/** SENTENCE_END of a word that is such a mark alone, PUNCTUATION of one that has nothing else. */
function wordKind(codes: Uint16Array, start: number, end: number): number {
  let kind = PUNCTUATION;
  let at = start;
  while (at < end && kind) {
    const code = codePointAt(codes, at, end);
    const width = code > 0xffff ? 2 : 1;
    const bits = codePointClass(code);
    if (at === start && at + width === end && bits & SENTENCE_END) return SENTENCE_END;
    kind &= bits;
    at += width;
  }
  return kind;
}
