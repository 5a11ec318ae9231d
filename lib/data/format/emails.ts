/**
 * Finds e-mail addresses as datatrove's rule does: `atom(.atom)*@label(.label)+`, or a number address in brackets behind the @.
 * Around each @ it reads to the left and to the right once, so that time is linear in any text; the rule as a regular
 * expression takes quadratic time in "a!a!a!…".
 */

const atomCharacter = /[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]/;
const wordCharacter = /[\p{L}\p{N}_]/u;
const octet = "(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)";
const bracketed = new RegExp(`\\[(?:${octet}\\.){3}(?:${octet}|[A-Za-z0-9-]*[A-Za-z0-9]:)\\]`, "y");

/** Text with each address replaced by what `replacement` gives. */
export function replaceEmails(text: string, replacement: () => string): string {
  let out = "";
  let done = 0;
  for (let at = text.indexOf("@"); at >= 0; at = text.indexOf("@", Math.max(at + 1, done))) {
    const start = localStart(text, done, at);
    if (start < 0) continue;
    const end = domainEnd(text, at + 1);
    if (end < 0) continue;
    out += text.slice(done, start) + replacement();
    done = end;
  }
  return done === 0 ? text : out + text.slice(done);
}

/** Where the part before an @ begins: at the leftmost word border from which on atoms and single dots lead to it. −1 if none. */
function localStart(text: string, least: number, at: number): number {
  if (at === least || text[at - 1] === ".") return -1;
  let left = at;
  while (left > least && (text[left - 1] === "." ? text[left] !== "." : atomCharacter.test(text[left - 1]!)))
    left--;
  // A row of dots stops the way to the left at its last one.
  for (let start = left; start < at; start++) {
    if (text[start] !== "." && isWordBorder(text, start)) return start;
  }
  return -1;
}

function isWordBorder(text: string, at: number): boolean {
  const before = at === 0 ? "" : lastCharacter(text, at);
  return wordCharacter.test(before) !== wordCharacter.test(text[at]!);
}

/** The character that ends before `end`, whole if it is a pair of surrogates. */
function lastCharacter(text: string, end: number): string {
  const pair = end >= 2 ? text.codePointAt(end - 2)! : 0;
  return pair > 0xffff ? String.fromCodePoint(pair) : text[end - 1]!;
}

/** Where the part behind an @ ends, −1 if there is none. */
function domainEnd(text: string, start: number): number {
  if (text[start] === "[") {
    bracketed.lastIndex = start;
    return bracketed.test(text) ? bracketed.lastIndex : -1;
  }
  let labels = 0;
  let end = -1;
  for (let at = start; isAlphanumeric(text.charCodeAt(at)); at++) {
    let stop = at;
    while (isAlphanumeric(text.charCodeAt(stop)) || text[stop] === "-") stop++;
    end = stop;
    while (text[end - 1] === "-") end--;
    labels++;
    if (end < stop || text[stop] !== ".") break;
    at = stop;
  }
  return labels >= 2 ? end : -1;
}

const isAlphanumeric = (code: number): boolean =>
  (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
