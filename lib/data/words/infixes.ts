import {
  ALPHA,
  codePointAt,
  codePointBefore,
  codePointClass,
  DIGIT,
  ICON,
  LOWER,
  QUOTE,
  UPPER,
} from "./character_class.ts";
import type { Spans } from "./spans.ts";
import { urlLike } from "./url_like.ts";

const DOT = 0x2e;
const HYPHEN = 0x2d;
const EN_DASH = 0x2013;
const EM_DASH = 0x2014;

/** Appends the words of codes [start, end), from whose ends marks have been taken already. */
export function pushCore(codes: Uint16Array, start: number, end: number, words: Spans): void {
  if (urlLike(codes, start, end)) {
    words.push(start, end);
    return;
  }
  let from = start;
  let at = start;
  while (at < end) {
    const length = infixLength(codes, start, at, end);
    if (length === 0) {
      at++;
      continue;
    }
    // A mark at the very beginning stays with what follows it.
    if (at > start) {
      if (at > from) words.push(from, at);
      words.push(at, at + length);
      from = at + length;
    }
    at += length;
  }
  if (from < end) words.push(from, end);
}

/** Code units of the mark at `at` that parts two words of [start, end), 0 if none does. */
function infixLength(codes: Uint16Array, start: number, at: number, end: number): number {
  const code = codes[at]!;
  switch (code) {
    case DOT: {
      let stop = at + 1;
      while (stop < end && codes[stop] === DOT) stop++;
      if (stop - at >= 2) return stop - at;
      return before(codes, start, at) & (LOWER | QUOTE) && after(codes, stop, end) & (UPPER | QUOTE) ? 1 : 0;
    }
    case 0x2026: // …
      return 1;
    case 0x2c: // ,
      return before(codes, start, at) & ALPHA && after(codes, at + 1, end) & ALPHA ? 1 : 0;
    case 0x3a: // :
    case 0x3c: // <
    case 0x3e: // >
    case 0x3d: // =
    case 0x2f: // /
      return before(codes, start, at) & (ALPHA | DIGIT) && after(codes, at + 1, end) & ALPHA ? 1 : 0;
    case 0x2b: // +
    case 0x2a: // *
    case 0x5e: // ^
      return betweenNumbers(codes, start, at, end) ? 1 : 0;
    case HYPHEN:
      if (betweenNumbers(codes, start, at, end)) return 1;
      return dashLength(codes, start, at, end, HYPHEN, 3);
    case EN_DASH:
      return dashLength(codes, start, at, end, EN_DASH, 1);
    case EM_DASH:
      return dashLength(codes, start, at, end, EM_DASH, 2);
    case 0x7e: // ~
      return dashLength(codes, start, at, end, code, 1);
    default: {
      if (code < 0xa6) return 0;
      const whole = codePointAt(codes, at, end);
      return codePointClass(whole) & ICON ? (whole > 0xffff ? 2 : 1) : 0;
    }
  }
}

const before = (codes: Uint16Array, start: number, at: number): number =>
  at > start ? codePointClass(codePointBefore(codes, start, at)) : 0;

const after = (codes: Uint16Array, at: number, end: number): number =>
  at < end ? codePointClass(codePointAt(codes, at, end)) : 0;

const betweenNumbers = (codes: Uint16Array, start: number, at: number, end: number): boolean =>
  (before(codes, start, at) & DIGIT) !== 0 &&
  at + 1 < end &&
  (codes[at + 1] === HYPHEN || (after(codes, at + 1, end) & DIGIT) !== 0);

/** A dash of one to `most` marks, between a letter or a digit and a letter. */
function dashLength(
  codes: Uint16Array,
  start: number,
  at: number,
  end: number,
  dash: number,
  most: number,
): number {
  if (!(before(codes, start, at) & (ALPHA | DIGIT))) return 0;
  let stop = at + 1;
  while (stop < end && codes[stop] === dash && stop - at < most) stop++;
  return after(codes, stop, end) & ALPHA ? stop - at : 0;
}
