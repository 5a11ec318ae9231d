import { expect, test } from "vitest";
import { fineweb } from "../../../lib/data/filters/fineweb.ts";
import { distinctWords, reasonOf } from "../../support/verdicts.ts";

const current = fineweb();
const then = fineweb({ preset: "fineweb2024" });
const words = distinctWords(1200);
/** Lines of 35 characters. */
const lines = Array.from({ length: 100 }, (_, i) => words.slice(6 * i, 6 * i + 6).join(" "));

test("a text without lines that aren't blank is empty", () => {
  expect(reasonOf(current, " \n\n ")).toBe("empty");
  expect(reasonOf(current, "")).toBe("empty");
  expect(reasonOf(then, "")).toBe("line_punct_ratio");
});

test("12 % of lines that end with a stop mark are kept today and weren't in 2024", () => {
  const text = (stopped: number): string =>
    lines.map((line, i) => line + (i < stopped ? "." : "")).join("\n");
  expect([11, 12, 13].map((n) => reasonOf(current, text(n)))).toEqual(["line_punct_ratio", "kept", "kept"]);
  expect([11, 12, 13].map((n) => reasonOf(then, text(n)))).toEqual([
    "line_punct_ratio",
    "line_punct_ratio",
    "kept",
  ]);
});

test("quotes ended a line in 2024, marks of other scripts do today", () => {
  const ending = (mark: string): string => lines.map((line) => line + mark).join("\n");
  expect(["'", '"', "।", "𑅃"].map((mark) => reasonOf(current, ending(mark)))).toEqual([
    "line_punct_ratio",
    "line_punct_ratio",
    "kept",
    "kept",
  ]);
  expect(["'", '"', "।"].map((mark) => reasonOf(then, ending(mark)))).toEqual([
    "kept",
    "kept",
    "line_punct_ratio",
  ]);
});

test("linePunctExcludeZero keeps texts without stop marks at all", () => {
  const filter = fineweb({ linePunctExcludeZero: true });
  expect(reasonOf(filter, lines.join("\n"))).toBe("kept");
  expect(reasonOf(filter, `${lines.join("\n")}.`)).toBe("line_punct_ratio");
});

test("67 % of short lines are kept today and weren't in 2024; a line of 30 characters is short", () => {
  const short = (i: number): string => `${words.slice(600 + 5 * i, 605 + 5 * i).join(" ")}.`;
  expect(short(0).length).toBe(30);
  const text = (n: number): string => lines.map((line, i) => (i < n ? short(i) : line)).join("\n");
  expect([66, 67, 68].map((n) => reasonOf(current, text(n)))).toEqual(["kept", "kept", "short_line_ratio"]);
  expect([66, 67, 68].map((n) => reasonOf(then, text(n)))).toEqual([
    "kept",
    "short_line_ratio",
    "short_line_ratio",
  ]);
});

test("1 % of characters in repeated lines is kept today and wasn't in 2024", () => {
  const long = lines.map((line) => `${line}.`.padEnd(99, "x") + ".");
  const text = (repeat: string): string => [repeat, ...long.slice(2), repeat].join("\n");
  expect(text("y".repeat(99) + ".").replaceAll("\n", "").length).toBe(10_000);
  expect(reasonOf(current, text("y".repeat(99) + "."))).toBe("kept");
  expect(reasonOf(then, text("y".repeat(99) + "."))).toBe("char_dup_ratio");
  expect(reasonOf(current, text("y".repeat(101) + "."))).toBe("char_dup_ratio");
});

test("3 newlines by 10 words are kept today and weren't in 2024; a mark is a word", () => {
  const filters = [fineweb({ shortLineThr: null }), fineweb({ shortLineThr: null, preset: "fineweb2024" })];
  const text = (count: number, mark = ""): string =>
    `one\ntwo\nthree\n${words.slice(0, count - 3).join(" ")}${mark}`;
  const free = { shortLineThr: null, linePunctThr: null };
  expect(reasonOf(fineweb(free), text(10))).toBe("kept");
  expect(reasonOf(fineweb(free), text(9))).toBe("list_ratio");
  expect(reasonOf(fineweb({ ...free, preset: "fineweb2024" }), text(10))).toBe("list_ratio");
  expect(filters.map((filter) => reasonOf(filter, text(9, ".")))).toEqual(["kept", "list_ratio"]);
});

test("blank lines counted for the share of short lines in 2024", () => {
  const text = lines.map((line) => `${line}.`).join("\n\n\n\n");
  expect(reasonOf(fineweb({ newLineRatio: null }), text)).toBe("kept");
  expect(reasonOf(fineweb({ newLineRatio: null, preset: "fineweb2024" }), text)).toBe("short_line_ratio");
});
