import { codePoints, type TextCodes } from "../words/text_words.ts";

/** How many of a list's texts came before, and their length in code points. */
export interface Repeated {
  count: number;
  characters: number;
}

/** Texts of a list, given as ranges, that are the same as an earlier one of it. */
export function repeatedRanges(
  text: TextCodes,
  ranges: Iterable<readonly [start: number, end: number]>,
): Repeated {
  const seen = new Set<string>();
  const repeated = { count: 0, characters: 0 };
  for (const [start, end] of ranges) {
    const size = seen.size;
    if (seen.add(text.text.slice(start, end)).size > size) continue;
    repeated.count++;
    repeated.characters += codePoints(text, start, end);
  }
  return repeated;
}
