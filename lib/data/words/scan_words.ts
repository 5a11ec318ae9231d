import { prefixLength, suffixLength } from "./affixes.ts";
import { ACTIVE, classOf, DIGIT, SPACE } from "./character_class.ts";
import { exceptionAt, longestException } from "./contractions.ts";
import { pushCore } from "./infixes.ts";
import { Spans } from "./spans.ts";

/**
 * Appends the words of codes [start, end): what stands between spaces, with marks split off its ends, contractions and
 * joined words split inside, and URLs, abbreviations and emoticons left whole. The rules are those of spaCy's tokenizer for
 * English, which datatrove counts words with; scanned by character classes, in time linear in the text.
 */
export function scanWords(codes: Uint16Array, start: number, end: number, words: Spans): void {
  let at = start;
  while (at < end) {
    while (at < end && classOf[codes[at]!]! & SPACE) at++;
    if (at === end) return;
    const from = at;
    let any = 0;
    let every = DIGIT;
    while (at < end) {
      const bits = classOf[codes[at]!]!;
      if (bits & SPACE) break;
      any |= bits;
      every &= bits;
      at++;
    }
    // Digits before letters may be a number and its unit.
    const plain = (any & ACTIVE) === 0 && ((any & DIGIT) === 0 || every === DIGIT);
    if (plain) pushWhole(codes, from, at, words);
    else {
      const first = words.count;
      pushChunk(codes, from, at, words, exceptionAt);
      if (words.count - first > 1) joinExceptions(codes, words, first);
    }
  }
}

/** A chunk as one word, unless it is an exception. */
function pushWhole(codes: Uint16Array, start: number, end: number, words: Spans): void {
  const lengths = exceptionAt(codes, start, end);
  if (lengths) pushPieces(start, lengths, words);
  else words.push(start, end);
}

function pushPieces(start: number, lengths: readonly number[], words: Spans): void {
  let at = start;
  for (const length of lengths) {
    words.push(at, at + length);
    at += length;
  }
}

/** Lengths of the marks split off a chunk's end, outermost first. */
const suffixes: number[] = [];

type Exception = typeof exceptionAt;
const noException: Exception = () => undefined;

/** Takes marks off both ends in turns, until an exception or nothing that splits off is left. */
function pushChunk(codes: Uint16Array, from: number, to: number, words: Spans, exception: Exception): void {
  suffixes.length = 0;
  let start = from;
  let end = to;
  while (start < end && !exception(codes, start, end)) {
    const prefix = prefixLength(codes, start, end);
    if (prefix > 0 && exception(codes, start + prefix, end)) {
      words.push(start, start + prefix);
      start += prefix;
      break;
    }
    const suffix = suffixLength(codes, start + prefix, end);
    if (suffix > 0 && exception(codes, start, end - suffix)) {
      suffixes.push(suffix);
      end -= suffix;
      break;
    }
    if (prefix === 0 && suffix === 0) break;
    if (prefix > 0) words.push(start, start + prefix);
    start += prefix;
    if (suffix > 0) suffixes.push(suffix);
    end -= suffix;
  }
  if (start < end) {
    const lengths = exception(codes, start, end);
    if (lengths) pushPieces(start, lengths, words);
    else pushCore(codes, start, end, words);
  }
  for (let i = suffixes.length - 1; i >= 0; i--) {
    words.push(end, end + suffixes[i]!);
    end += suffixes[i]!;
  }
}

const alone = new Spans();

/**
 * Puts exceptions that the rules alone split together again, among the words from `first` on: the ")" of "(6-8)" goes to the
 * 8, as in the emoticon. As spaCy does it after the rest.
 */
function joinExceptions(codes: Uint16Array, words: Spans, first: number): void {
  const { count, starts, ends } = words;
  let kept = first;
  for (let w = first; w < count; kept++) {
    let next = w + 1;
    for (let last = next; last < count && ends[last]! - starts[w]! <= longestException; last++) {
      if (exceptionAt(codes, starts[w]!, ends[last]!) && splitsAlike(codes, words, w, last)) next = last + 1;
    }
    starts[kept] = starts[w]!;
    ends[kept] = ends[next - 1]!;
    w = next;
  }
  words.count = kept;
}

/** Whether words w to last are those that the rules alone make of their text, and the exception is one word. */
function splitsAlike(codes: Uint16Array, words: Spans, w: number, last: number): boolean {
  const start = words.starts[w]!;
  if (exceptionAt(codes, start, words.ends[last]!)!.length > 1) return false;
  alone.count = 0;
  pushChunk(codes, start, words.ends[last]!, alone, noException);
  if (alone.count !== last - w + 1) return false;
  for (let i = 0; i < alone.count; i++) if (alone.ends[i] !== words.ends[w + i]) return false;
  return true;
}
