import { readFileSync } from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { splitWords } from "../../../lib/data/words/text_words.ts";
import { sharedPath } from "../../support/shared_data.ts";

test.each([
  ["It's a dog's life; isn't it?", "It 's a dog 's life ; is n't it ?"],
  ["I can't, cannot and won’t go at 5pm.", "I ca n't , can not and wo n’t go at 5 pm ."],
  ["Mr. Smith of the U.S. (e.g. N.Y.) paid $5.50.", "Mr. Smith of the U.S. ( e.g. N.Y. ) paid $ 5.50 ."],
  ["well-known end.Next 1-2 x--y a/b 3/4 and/or", "well - known end . Next 1 - 2 x -- y a / b 3/4 and/or"],
  ["See www.example.com/a,b?c=d, or me@example.org!", "See www.example.com/a,b?c=d , or me@example.org !"],
  ["http://8.8.8.8/dns http://10.0.0.1/x", "http://8.8.8.8/dns http://10.0.0.1 / x"],
  ["Wait... what?! “Yes”… 5kg 30°C. A.", "Wait ... what ? ! “ Yes ” … 5 kg 30 ° C . A."],
  ["US$5 +1 + x C++ :-) (see 8) 🎉party🎉", "US$ 5 +1 + x C++ :-) ( see 8) 🎉 party 🎉"],
  ["its Its id well", "its Its i d well"],
  ["\n\t \u00a0", ""],
])("%s", (text, words) => {
  expect(splitWords(text)).toEqual(words === "" ? [] : words.split(" "));
});

test("scripts without spaces are split by dictionary where the language says so", () => {
  expect(splitWords("今天天气很好。", "zh").length).toBeGreaterThan(2);
  expect(splitWords("今天天气很好。")).toEqual(["今天天气很好", "。"]);
});

test("words are the text without its white space, in any text", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom(..."ab.:-')(8 \n,’s5°中🎉\ud800@/") }),
  );
  // What Python takes for white space: U+FEFF isn't, U+001C to U+001F and U+0085 are.
  const isSpace = (char: string): boolean =>
    (/\s/.test(char) && char !== "\ufeff") || "\x1c\x1d\x1e\x1f\x85".includes(char);
  fc.assert(
    fc.property(text, (text) => {
      expect(splitWords(text).join("")).toBe(
        text
          .split("")
          .filter((char) => !isSpace(char))
          .join(""),
      );
    }),
    { numRuns: 2000 },
  );
});

test.each([
  ["a row of marks", "!".repeat(1e6)],
  ["a row of full stops and a letter", `${".".repeat(1e6)}a`],
  ["a row of dots between letters", "a.".repeat(5e5)],
  ["a row of @", "a@".repeat(5e5)],
  ["brackets of an emoticon", ":)".repeat(5e5)],
  ["a scheme without end", `${"a".repeat(1e6)}://`],
  ["hyphens", "a-".repeat(5e5)],
  ["digits and dots", "1.".repeat(5e5)],
])("a word of 1 MB takes no longer than 1 MB of words: %s", (_, text) => {
  const start = process.cpuUsage();
  splitWords(text);
  expect(process.cpuUsage(start).user / 1e6).toBeLessThan(20);
});

const reference = sharedPath("data/web/filter_ref");
test.skipIf(!reference)("433 documents have as many words as datatrove 0.10 counts", () => {
  const read = (file: string): string => gunzipSync(readFileSync(path.join(reference!, file))).toString();
  const { docs } = JSON.parse(read("datatrove_decisions.json.gz")) as {
    docs: { n_words: number; words_head?: string[] }[];
  };
  const texts = read("docs.jsonl.gz").trim().split("\n");
  const counts = texts.map((line, d) => {
    const words = splitWords((JSON.parse(line) as { text: string }).text);
    const { words_head } = docs[d]!;
    if (words_head) expect(words.slice(0, words_head.length)).toEqual(words_head);
    return words.length;
  });
  expect(counts.length).toBe(433);
  expect(counts).toEqual(docs.map(({ n_words }) => n_words));
});

test("a long text without spaces is cut in pieces, of which no character is lost", () => {
  const line = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。";
  const long = line.repeat(12_000);
  const begun = performance.now();
  const found = splitWords(long, "ja");
  expect(performance.now() - begun).toBeLessThan(20_000); // in one piece: minutes
  expect(found.join("")).toBe(long);
  const lines = `${line}\n`.repeat(700);
  expect(splitWords(lines, "ja")).toEqual(Array.from({ length: 700 }, () => splitWords(line, "ja")).flat());
});
