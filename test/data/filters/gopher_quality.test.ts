import { expect, test } from "vitest";
import { gopherQuality } from "../../../lib/data/filters/gopher_quality.ts";
import { distinctWords, reasonOf } from "../../support/verdicts.ts";

const filter = gopherQuality();
const words = distinctWords(200);
const prose = (count: number): string[] => ["the", "of", ...words.slice(0, count - 2)];

test("prose is kept", () => {
  expect(reasonOf(filter, prose(60).join(" "))).toBe("kept");
});

test("49 words are too few, 50 are enough, marks are no words", () => {
  expect(reasonOf(filter, prose(49).join(" "))).toBe("gopher_short_doc");
  expect(reasonOf(filter, prose(50).join(" "))).toBe("kept");
  expect(reasonOf(filter, `${prose(49).join(" ")} !!! — ?`)).toBe("gopher_short_doc");
  expect(reasonOf(filter, "")).toBe("gopher_short_doc");
});

test("marks of other scripts are words in 2024 and none today", () => {
  const text = `${prose(49).join(" ")} 。`;
  expect(reasonOf(filter, text)).toBe("gopher_short_doc");
  expect(reasonOf(gopherQuality({ preset: "fineweb2024" }), `${prose(49).join(" ")} ؟`)).toBe("kept");
  expect(reasonOf(filter, `${prose(49).join(" ")} ؟`)).toBe("gopher_short_doc");
});

test("more words than the most are too many", () => {
  const filter = gopherQuality({ maxDocWords: 60 });
  expect(reasonOf(filter, prose(60).join(" "))).toBe("kept");
  expect(reasonOf(filter, prose(61).join(" "))).toBe("gopher_long_doc");
});

test("words of 3.0 and of 10.0 letters on average are kept, shorter and longer ones aren't", () => {
  const of = (length: number, count: number): string[] => distinctWords(count, length);
  const three = ["the", "of", ...of(3, 60), "abcd"];
  expect(three.join("").length / three.length).toBe(3);
  expect(reasonOf(filter, three.join(" "))).toBe("kept");
  expect(reasonOf(filter, three.slice(0, -1).join(" "))).toBe("gopher_below_avg_threshold");
  const ten = ["the", "of", ...of(10, 60), ...of(15, 3)];
  expect(ten.join("").length / ten.length).toBe(10);
  expect(reasonOf(filter, ten.join(" "))).toBe("kept");
  expect(reasonOf(filter, [...ten, "elevenchars"].join(" "))).toBe("gopher_above_avg_threshold");
});

test("a hash sign or an ellipsis for more than every tenth word drops a text", () => {
  const text = prose(60).join(" ");
  expect(reasonOf(filter, `${text} ${"# ".repeat(6)}`)).toBe("kept");
  expect(reasonOf(filter, `${text} ${"# ".repeat(7)}`)).toBe("gopher_too_many_hashes");
  expect(reasonOf(filter, `${"... … ".repeat(3)} ${text}`)).toBe("kept");
  expect(reasonOf(filter, `${"... … ".repeat(4)} ${text}`)).toBe("gopher_too_many_ellipsis");
});

test("more than 90 % of lines with bullets drop a text, 90 % don't", () => {
  const lines = (bullets: number): string =>
    Array.from(
      { length: 10 },
      (_, i) =>
        `${i < bullets ? "  •-"[2 + (i % 2)] + " " : ""}the of ${words.slice(5 * i, 5 * i + 5).join(" ")}`,
    ).join("\n");
  expect(reasonOf(filter, lines(9))).toBe("kept");
  expect(reasonOf(filter, lines(10))).toBe("gopher_too_many_bullets");
});

test("more than 30 % of lines that end with an ellipsis drop a text, 30 % don't", () => {
  const lines = (open: number): string =>
    Array.from(
      { length: 10 },
      (_, i) => `the of ${words.slice(5 * i, 5 * i + 5).join(" ")}${i < open ? ["... ", "…"][i % 2] : ""}`,
    ).join("\n");
  expect(reasonOf(filter, lines(3))).toBe("kept");
  expect(reasonOf(filter, lines(4))).toBe("gopher_too_many_end_ellipsis");
});

test("fewer than 80 % of words with a letter drop a text, 80 % don't", () => {
  const numbers = Array.from({ length: 12 }, (_, i) => `${i + 1000}`);
  expect(reasonOf(filter, [...prose(48), ...numbers].join(" "))).toBe("kept");
  expect(reasonOf(filter, [...prose(48), ...numbers, "2000"].join(" "))).toBe("gopher_below_alpha_threshold");
});

test("one stop word isn't enough, two are; one of them twice was enough in 2024", () => {
  const text = `the ${words.slice(0, 60).join(" ")}`;
  expect(reasonOf(filter, text)).toBe("gopher_enough_stop_words");
  expect(reasonOf(filter, `${text} The`)).toBe("gopher_enough_stop_words");
  expect(reasonOf(filter, `${text} with`)).toBe("kept");
  expect(reasonOf(filter, `${text} the`)).toBe("gopher_enough_stop_words");
  expect(reasonOf(gopherQuality({ preset: "fineweb2024" }), `${text} the`)).toBe("kept");
});

test("rules are switched off by null; unknown options and thresholds that are none are refused", () => {
  expect(reasonOf(gopherQuality({ minDocWords: null, minStopWords: null }), "Hello there")).toBe("kept");
  expect(reasonOf(gopherQuality({ minDocWords: null, minStopWords: null }), "")).toBe("kept");
  expect(() => gopherQuality({ minDocWord: 3 } as object)).toThrow(
    /filter.gopherQuality: unknown option "minDocWord", is it minDocWords/,
  );
  expect(() => gopherQuality({ minDocWords: -1 })).toThrow(/minDocWords is -1, a number from 0 was needed/);
  expect(() => gopherQuality({ preset: "2024" as "current" })).toThrow(/preset is "2024"/);
  expect(() => gopherQuality({ stopWords: "the" as unknown as string[] })).toThrow(
    /stopWords is "the", a list was needed/,
  );
});
