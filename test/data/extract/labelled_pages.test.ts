import { expect, test } from "vitest";
import { labelledPages, meanScore, wordScore } from "../../../bench/labelled_pages.ts";
import { extract } from "../../../lib/data/extract/main_text.ts";
import { sharedPath } from "../../support/shared_data.ts";

const folder = sharedPath("data/web");

test.skipIf(!folder)("the main text of labelled pages, by words", async () => {
  const pages = await labelledPages(folder!);
  const scores = pages.map(({ set, name, html, mainText }) => {
    const verdict = extract(html, 60_000);
    return { set, name, ...wordScore(verdict.keep ? verdict.text! : "", mainText) };
  });
  const crawl = scores.filter(({ set }) => set === "minicrawl");
  const others = scores.filter(({ set }) => set === "readability");
  // One of the 67 is plain text, which isn't read.
  expect([crawl.length, others.length]).toEqual([66, 24]);
  expect(meanScore(crawl).f1).toBeGreaterThan(0.995);
  expect(meanScore(others).f1).toBeGreaterThan(0.985);
  for (const { name, f1 } of scores) expect(f1, name).toBeGreaterThan(0.92);
});

test("word scores count each word as often as it occurs", () => {
  expect(wordScore("a b b c", "b a d")).toEqual({
    precision: 0.5,
    recall: 2 / 3,
    f1: expect.closeTo(4 / 7, 12),
  });
  expect(wordScore("", "")).toEqual({ precision: 1, recall: 1, f1: 1 });
  expect(wordScore("a", "").f1).toBe(0);
  expect(wordScore("x", "y").f1).toBe(0);
});
