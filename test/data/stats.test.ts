import { readFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { pipeline } from "../../lib/data/pipeline.ts";
import { jsonl } from "../../lib/data/readers/jsonl.ts";
import { droppedExamples, firstDocuments } from "../../lib/data/stats/examples.ts";
import { addValue, boundOf, curveOf, meanOf, noValues } from "../../lib/data/stats/histogram.ts";
import { histograms, readHistograms } from "../../lib/data/stats/histograms.ts";
import { kMeasures, measuresOf } from "../../lib/data/stats/measures.ts";
import { filterStep } from "../../lib/data/step.ts";
import { jsonl as writeJsonlStep } from "../../lib/data/writers/jsonl.ts";
import { renderReport } from "../../lib/report/page.ts";
import { pipelineReport } from "../../lib/report/pipeline_report.ts";
import { tempDir } from "../support/temp_dir.ts";
import { someTexts, writeJsonl } from "../support/texts.ts";

const measured = (text: string): Record<string, number> =>
  Object.fromEntries(measuresOf(text).map((value, i) => [kMeasures[i]!.name, value]));

test("the measures of a text, by hand", () => {
  const m = measured("The cat sat.\n- The 2 Tigers slept\n\nThe cat sat.\n");
  expect(m.characters).toBe(48);
  expect(m.words).toBe(13); // a full stop is a word, and so is the dash
  expect(m["mean word length"]).toBeCloseTo((3 * 3 + 1 + 1 + 3 + 1 + 6 + 5 + 3 * 3 + 1) / 13, 12);
  expect(m["words of 3 characters or less"]).toBeCloseTo(11 / 13, 12);
  expect(m["words of 7 characters or more"]).toBe(0);
  expect(m["different words"]).toBeCloseTo(8 / 13, 12);
  expect(m.lines).toBe(3);
  expect(m["mean line length"]).toBeCloseTo((12 + 20 + 12) / 3, 12);
  expect(m["lines of 30 characters or less"]).toBe(1);
  expect(m["lines that end with a terminal mark"]).toBeCloseTo(2 / 3, 12);
  expect(m["lines that begin with a bullet"]).toBeCloseTo(1 / 3, 12);
  expect(m["lines that come again"]).toBeCloseTo(1 / 3, 12);
  expect(m["characters in lines that come again"]).toBeCloseTo(12 / 44, 12);
  expect(m.digits).toBeCloseTo(1 / 48, 12);
  expect(m.capitals).toBeCloseTo(4 / 48, 12);
  expect(m.punctuation).toBeCloseTo(3 / 48, 12);
  expect(m["line ends by words"]).toBeCloseTo(4 / 13, 12);
  expect(m.paragraphs).toBe(2);
});

test("no text has a measure outside of its range", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 300 }), (text) => {
      measuresOf(text).forEach((value, i) => {
        const { kind, name } = kMeasures[i]!;
        if (Number.isNaN(value)) return;
        expect(value, name).toBeGreaterThanOrEqual(0);
        // There may be more line ends than words.
        if (kind === "share" && name !== "line ends by words") expect(value, name).toBeLessThanOrEqual(1);
      });
    }),
  );
});

test("a histogram keeps counts by bin, and the mean", () => {
  const histogram = noValues();
  const values = Array.from({ length: 1000 }, (_, i) => i + 1);
  for (const value of [...values, Number.NaN]) addValue(histogram, "count", value);
  expect(histogram.values).toBe(1000);
  expect(meanOf(histogram)).toBe(500.5);
  expect(curveOf(histogram, "count").reduce((sum, [, share]) => sum + share, 0)).toBeCloseTo(1, 12);
  expect(boundOf("count", 5)).toBe(2);
  const shares = noValues();
  for (const value of [0, 0.005, 0.5, 1]) addValue(shares, "share", value);
  expect(shares.bins).toEqual({ 0: 2, 50: 1, 100: 1 });
});

test("a pipeline's histograms are the same however it is cut into tasks, and its report shows them", async () => {
  const dir = tempDir();
  for (const [k, texts] of [someTexts(9), someTexts(20).slice(9), someTexts(31).slice(20)].entries())
    writeJsonl(
      path.join(dir, `${k}.jsonl`),
      texts.map((text, i) => ({ text, id: `${k}/${i}` })),
    );
  const run = (tasks: number) =>
    pipeline([
      jsonl(path.join(dir, "*.jsonl")),
      histograms(path.join(dir, `before${tasks}`)),
      filterStep("short", {}, ({ text }) =>
        text.length < 200 ? { keep: false, reason: "too <short>" } : { keep: true },
      ),
      histograms(path.join(dir, `after${tasks}`)),
      writeJsonlStep(path.join(dir, `out${tasks}`)),
    ]).run({ tasks, rejected: path.join(dir, `rejected${tasks}`) });
  const report = await run(3);
  await run(1);
  const [before, after] = [
    await readHistograms(path.join(dir, "before3")),
    await readHistograms(path.join(dir, "after3")),
  ];
  const whole = await readHistograms(path.join(dir, "before1"));
  for (const { name } of kMeasures) {
    expect(whole[name]!.bins).toEqual(before[name]!.bins);
    expect(meanOf(whole[name]!)).toBeCloseTo(meanOf(before[name]!), 10);
  }
  expect(before.characters!.values).toBe(31);
  expect(after.characters!.values).toBe(report.kept);
  const shortest = Math.min(
    ...curveOf(after.characters!, "count").flatMap(([x, share]) => (share > 0 ? [x] : [])),
  );
  expect(shortest).toBeGreaterThanOrEqual(boundOf("count", 30));

  const dropped = await droppedExamples(path.join(dir, "rejected3"), 2);
  expect(dropped.map(({ step, reason }) => [step, reason])).toEqual([
    ["short", "too <short>"],
    ["short", "too <short>"],
  ]);
  expect(await droppedExamples(path.join(dir, "nowhere"))).toEqual([]);
  const kept = await firstDocuments([path.join(dir, "out3", "00000.jsonl.gz")], 1);
  const places = [
    { name: "before", of: before },
    { name: "after", of: after },
  ];
  const measures = kMeasures.map(({ name, kind }) => ({
    name,
    places: places.map((place) => ({
      name: place.name,
      mean: meanOf(place.of[name]!),
      points: curveOf(place.of[name]!, kind),
    })),
  }));
  const page = await renderReport(pipelineReport("test", report, { dropped, kept, measures }));
  expect(page).toContain("too &#60;short&#62;");
  expect(page).toContain("lines that come again");
  expect(page).not.toContain("too <short>");
});

test("files that hold no histograms are refused by name", async () => {
  const dir = tempDir();
  writeJsonl(path.join(dir, "00000.json"), [{ characters: 1 }]);
  await expect(readHistograms(dir)).rejects.toThrow(/00000\.json has no "characters"/);
  expect(readFileSync(path.join(dir, "00000.json"), "utf8")).toContain("characters");
});
