import { classOf, DIGIT, LOWER } from "./character_class.ts";

const COLON = 0x3a;
const DOT = 0x2e;
const SLASH = 0x2f;

/** An address of four numbers that isn't private, after spaCy's URL rule. Its repetitions are bounded. */
const address =
  /(?!(?:10|127)(?:\.\d{1,3}){3})(?!(?:169\.254|192\.168)(?:\.\d{1,3}){2})(?!172\.(?:1[6-9]|2\d|3[01])(?:\.\d{1,3}){2})(?:1\d\d|2[01]\d|22[0-3]|[1-9]\d?)(?:\.(?:1?\d{1,2}|2[0-4]\d|25[0-5])){2}\.(?:1\d\d|2[0-4]\d|25[0-4]|[1-9]\d?)/y;

/**
 * Whether codes [start, end), which hold no space, are a URL, a host's name or an e-mail address as a whole: those are words
 * that are not split further. `[scheme://][user@]host.tld[:port][/path]`. Time is linear: it reads each host once.
 */
export function urlLike(codes: Uint16Array, start: number, end: number): boolean {
  const dot = codes.subarray(start, end).indexOf(DOT);
  if (dot < 0) return false;
  let from = start;
  const scheme = schemeEnd(codes, start, end);
  if (scheme > 0) from = scheme;
  if (hostAt(codes, from, end)) return true;
  for (let at = start + 1; at < end; at++) {
    if (codes[at] === 0x40 && hostAt(codes, at + 1, end)) return true;
  }
  return false;
}

/** Where "scheme://" ends, or −1. */
function schemeEnd(codes: Uint16Array, start: number, end: number): number {
  let at = start;
  while (at < end && isSchemeCode(codes[at]!)) at++;
  const found =
    at - start >= 2 &&
    at + 3 <= end &&
    codes[at] === COLON &&
    codes[at + 1] === SLASH &&
    codes[at + 2] === SLASH;
  return found ? at + 3 : -1;
}

const isAlphanumeric = (code: number): boolean =>
  (code >= 0x30 && code <= 0x39) ||
  (code >= 0x41 && code <= 0x5a) ||
  (code >= 0x61 && code <= 0x7a) ||
  code >= 0xa1;

const isSchemeCode = (code: number): boolean =>
  isAlphanumeric(code) || code === 0x5f || code === 0x2b || code === 0x2d || code === DOT;

/** A host with at least one dot, then nothing, a port, or a path. */
function hostAt(codes: Uint16Array, start: number, end: number): boolean {
  let label = start;
  for (let at = start; at < end; at++) {
    const code = codes[at]!;
    if (code === DOT) {
      const length = at - label;
      if (length < 1 || length > 64 || !isAlphanumeric(codes[label]!) || !isAlphanumeric(codes[at - 1]!))
        break;
      label = at + 1;
      if (topLevelAt(codes, label, end)) return true;
    } else if (!isAlphanumeric(code) && code !== 0x5f && code !== 0x2d) break;
  }
  return addressAt(codes, start, end);
}

function addressAt(codes: Uint16Array, start: number, end: number): boolean {
  if (start >= end || !(classOf[codes[start]!]! & DIGIT)) return false;
  const head = String.fromCharCode(...codes.subarray(start, Math.min(end, start + 24)));
  address.lastIndex = 0;
  return address.test(head) && tailAt(codes, start + address.lastIndex, end);
}

function topLevelAt(codes: Uint16Array, start: number, end: number): boolean {
  let at = start;
  while (at < end && at - start < 63 && classOf[codes[at]!]! & LOWER) at++;
  return at - start >= 2 && tailAt(codes, at, end);
}

/** Nothing, a port, a path, or a port and a path. */
function tailAt(codes: Uint16Array, start: number, end: number): boolean {
  let at = start;
  if (codes[at] === COLON && at < end) {
    at++;
    while (at < end && at - start <= 5 && classOf[codes[at]!]! & DIGIT) at++;
    if (at - start < 3) return false;
  }
  const code = codes[at]!;
  return at === end || code === SLASH || code === 0x3f || code === 0x23;
}
