import { expect, test } from "vitest";
import { StopText } from "../../lib/generate/stop_text.ts";

/** What comes out of each piece, then at the end. */
function passed(stops: string[], pieces: string[]): string[] {
  const text = new StopText(stops);
  return [...pieces.map((piece) => text.push(piece)), text.end()];
}

test("without stop strings text passes at once", () => {
  expect(passed([], ["a", "", "b"])).toEqual(["a", "", "b", ""]);
});

test("a stop string ends the text, also across pieces, and no part of it comes out", () => {
  expect(passed(["STOP"], ["one ST", "OP two", "three"])).toEqual(["one ", "", "", ""]);
  expect(passed(["\n\n"], ["a\n", "b\n", "\n", "c"])).toEqual(["a", "\nb", "", "", ""]);
  expect(passed(["aab"], ["aa", "a", "b"])).toEqual(["", "a", "", ""]);
});

test("what only began like one comes out later", () => {
  expect(passed(["STOP"], ["S", "T", "A", "ST"])).toEqual(["", "", "STA", "", "ST"]);
});

test("the first of several wins", () => {
  expect(passed(["bc", "b"], ["a", "bc"])).toEqual(["a", "", ""]);
  expect(passed(["cde", "bcdef"], ["abcd", "e"])).toEqual(["a", "b", ""]);
});
