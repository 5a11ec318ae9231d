import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { metricsSections } from "../../lib/report/metrics_report.ts";
import { renderReport } from "../../lib/report/page.ts";
import type { Curves, Facts, Samples, Section } from "../../lib/report/sections.ts";
import { writtenSections } from "../../lib/report/written_report.ts";
import type { StepMetrics } from "../../lib/train/metrics.ts";
import type { WrittenSample } from "../../lib/train/run_folder.ts";

const folder = path.resolve(import.meta.dirname, "../golden/metrics");
function linesOf<T>(file: string): T[] {
  const lines = readFileSync(path.join(folder, `${file}.jsonl`), "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as T);
}
const named = <S extends Section>(sections: readonly Section[], title: string): S =>
  sections.find((s) => s.title === title) as S;
const seriesOf = (sections: readonly Section[], title: string) =>
  named<Curves>(sections, title).series.map(({ name, points }) => [name, points.length]);

/** All that was measured, as points of curves. */
function measuredIn(lines: readonly StepMetrics[]): string[] {
  const values = lines.flatMap(({ step, validation = {}, ...m }) =>
    [...Object.entries(m), ...Object.entries(validation)].flatMap(([key, value]) =>
      key === "tokens" || key === "expertLoad" ? [] : [`${step} ${value}`],
    ),
  );
  return [...new Set(values)];
}

describe.each(["reward", "dpo", "kto", "ppo", "grpo"])("the report of a run of %s", (command) => {
  const lines = linesOf<StepMetrics>(command);

  test("shows every number of its metrics, each chart once", async () => {
    const sections = metricsSections(lines);
    const drawn = new Set(
      sections.flatMap((s) =>
        s.kind === "curves" ? s.series.flatMap(({ points }) => points.map(([x, y]) => `${x} ${y}`)) : [],
      ),
    );
    expect(measuredIn(lines).filter((value) => !drawn.has(value))).toEqual([]);
    const titles = sections.map(({ title }) => title);
    expect(new Set(titles).size).toBe(titles.length);
    expect(titles.filter((title) => title.includes("/"))).toEqual([]);
    const report = { title: command, created: new Date(0), settings: {}, sections };
    expect(await renderReport(report)).toContain("<h2");
  });
});

test("preferences: chosen and rejected share a chart, validation joins in", () => {
  const sections = metricsSections(linesOf<StepMetrics>("dpo"));
  expect(seriesOf(sections, "Rewards")).toEqual([
    ["chosen", 6],
    ["validation, chosen", 2],
    ["rejected", 6],
    ["validation, rejected", 2],
  ]);
  expect(seriesOf(sections, "Accuracy")).toEqual([
    ["training", 6],
    ["validation", 2],
  ]);
  expect(seriesOf(sections, "Loss")).toEqual([
    ["training", 6],
    ["validation", 2],
  ]);
  expect(named<Facts>(sections, "Result").facts).toMatchObject({
    "Training accuracy": 1,
    "Accuracy on validation": 1,
    "Reward margin": expect.any(Number),
  });
});

test("policies: the time of a step has three parts, the loss a linear axis", () => {
  const sections = metricsSections(linesOf<StepMetrics>("ppo"));
  expect(seriesOf(sections, "Time of a step")).toEqual([
    ["rollout", 6],
    ["score", 6],
    ["learn", 6],
  ]);
  expect(named<Curves>(sections, "Loss").log).toBe(false);
  expect(named<Facts>(sections, "Result").facts).toMatchObject({ Score: 1.25 });
});

test("what no chart knows has one of its own, also of a validation set with a slash in its name", () => {
  const line = { step: 1, loss: 1, lr: 1, gradNorm: 1, tokensPerSecond: 1, tokens: 1 };
  const sections = metricsSections([
    { ...line, "judge/wit": 0.5, validation: { "a/b": 2, "a/b/judge/wit": 0.25, "a/b/judge/rigour": 0.75 } },
  ]);
  expect(seriesOf(sections, "judge/wit")).toEqual([
    ["each step", 1],
    ["a/b", 1],
  ]);
  expect(seriesOf(sections, "judge/rigour")).toEqual([["a/b", 1]]);
  expect(seriesOf(sections, "Loss")).toEqual([
    ["training", 1],
    ["a/b", 1],
  ]);
});

test("a long run is smoothed under the names of its curves", () => {
  const line = { loss: 1, lr: 1, gradNorm: 1, tokensPerSecond: 1, tokens: 1 };
  const sections = metricsSections(
    Array.from({ length: 120 }, (_, i) => ({
      ...line,
      step: i + 1,
      "logps/chosen": -i,
      "logps/rejected": i,
    })),
  );
  const { series } = named<Curves>(sections, "Log-probabilities");
  expect(series.map(({ name, faint = false }) => [name, faint])).toEqual([
    ["chosen", true],
    ["chosen, smoothed", false],
    ["rejected", true],
    ["rejected, smoothed", false],
  ]);
});

test("what a policy wrote is shown for a few steps, the first and the last among them", () => {
  const lines = linesOf<WrittenSample>("ppo_samples");
  const sections = writtenSections(lines);
  expect(sections.map(({ title }) => title)).toEqual([1, 2, 4, 6].map((step) => `Written in step ${step}`));
  const { samples } = sections[0] as Samples;
  expect(samples[0]!.prompt).toBe(lines[0]!.prompt);
  expect(samples[0]!.texts).toEqual([lines[0]!.completion, `${lines[0]!.score}, cut off`]);
  const many = Array.from({ length: 40 }, (_, i) => ({ ...lines[0]!, step: i + 1 }));
  expect(writtenSections(many).map(({ title }) => title)).toEqual(
    [1, 14, 27, 40].map((step) => `Written in step ${step}`),
  );
  expect(writtenSections([])).toEqual([]);
});
