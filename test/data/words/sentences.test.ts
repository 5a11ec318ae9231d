import { expect, test } from "vitest";
import { eachSentence } from "../../../lib/data/words/sentences.ts";
import { codesOf } from "../../../lib/data/words/text_words.ts";

function sentences(text: string, language = "en"): string[] {
  const starts: number[] = [];
  eachSentence(codesOf(text), 0, text.length, language, (start) => starts.push(start) > 0);
  return starts.map((start, i) => text.slice(start, starts[i + 1]));
}

test.each([
  ["One. Two! Three?", ["One. ", "Two! ", "Three?"]],
  ["Mr. Smith came. “So?” he said.", ["Mr. Smith came. “", "So?” ", "he said."]],
  ["No end", ["No end"]],
  ["Wait... what", ["Wait... what"]],
  // White space beyond one plain space is a word of its own, and begins a sentence.
  ["One.  ", ["One. ", " "]],
  ["One. ", ["One. "]],
  ["पहला। दूसरा", ["पहला। ", "दूसरा"]],
  ["", []],
])("%j", (text, expected) => {
  expect(sentences(text)).toEqual(expected);
});

test("Chinese sentences within one piece are found where the language is Chinese", () => {
  expect(sentences("今天很好。明天也好。", "zh")).toEqual(["今天很好。", "明天也好。"]);
});
