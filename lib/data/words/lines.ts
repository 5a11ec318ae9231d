import { classOf, LINE_END, SPACE } from "./character_class.ts";
import type { Spans } from "./spans.ts";

/** Appends the lines of codes [0, length) as Python's splitlines cuts them: no empty one after a final line end. */
export function splitLines(codes: Uint16Array, length: number, lines: Spans): void {
  let start = 0;
  for (let at = 0; at < length; at++) {
    if (!(classOf[codes[at]!]! & LINE_END)) continue;
    lines.push(start, at);
    if (codes[at] === 0x0d && at + 1 < length && codes[at + 1] === 0x0a) at++;
    start = at + 1;
  }
  if (start < length) lines.push(start, length);
}

/** Appends what stands between newlines, empty lines among them. */
export function splitAtNewlines(codes: Uint16Array, length: number, lines: Spans): void {
  let start = 0;
  for (let at = 0; at < length; at++) {
    if (codes[at] !== 0x0a) continue;
    lines.push(start, at);
    start = at + 1;
  }
  lines.push(start, length);
}

/** Where [start, end) begins without its leading white space. */
export function skipSpace(codes: Uint16Array, start: number, end: number): number {
  let at = start;
  while (at < end && classOf[codes[at]!]! & SPACE) at++;
  return at;
}

/** Where [start, end) ends without its trailing white space. */
export function trimEnd(codes: Uint16Array, start: number, end: number): number {
  let at = end;
  while (at > start && classOf[codes[at - 1]!]! & SPACE) at--;
  return at;
}
