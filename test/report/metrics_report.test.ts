import { describe, expect, test } from "vitest";
import { chartData } from "../../lib/report/curves.ts";
import { doraSections } from "../../lib/report/dora_report.ts";
import { heat } from "../../lib/report/heat_map.ts";
import { metricsSections } from "../../lib/report/metrics_report.ts";
import { numberText } from "../../lib/report/number_text.ts";
import { barScale } from "../../lib/report/range_bars.ts";
import type { Curves, Facts, HeatMap, RangeBars, Section } from "../../lib/report/sections.ts";
import { smooth } from "../../lib/report/smooth.ts";
import { kMostPoints, thin } from "../../lib/report/thin.ts";
import type { StepMetrics } from "../../lib/train/metrics.ts";
import { fakeMetrics } from "../support/fake_run.ts";

function line(step: number, more: Partial<StepMetrics> = {}): StepMetrics {
  return { step, loss: 10 - step, lr: 1e-3, gradNorm: 1, tokensPerSecond: 100, tokens: 8 * step, ...more };
}

function named<S extends Section>(sections: readonly Section[], title: string): S {
  return sections.find((s) => s.title === title) as S;
}

describe("metricsSections", () => {
  test("a dense run has no charts of routers", () => {
    const titles = metricsSections([line(1), line(2)]).map((s) => s.title);
    expect(titles).toEqual(["Result", "Loss", "Learning rate", "Gradient norm", "Tokens per second"]);
  });

  test("no lines give one sentence", () => {
    expect(metricsSections([])).toEqual([{ kind: "text", title: "Metrics", text: "No step was recorded." }]);
  });

  test("steps are sorted, and of a step written twice the later line counts", () => {
    const loss = named<Curves>(metricsSections([line(2), line(1), line(3), line(2, { loss: 5 })]), "Loss");
    expect(loss.series[0]!.points).toEqual([
      [1, 9],
      [2, 5],
      [3, 7],
    ]);
  });

  test("validation sets are curves of their own, the best of each a result", () => {
    const sections = metricsSections([
      line(1, { validation: { a: 3, b: 4 } }),
      line(2),
      line(3, { validation: { a: 2, b: 5 } }),
    ]);
    const [, a, b] = named<Curves>(sections, "Loss").series;
    expect(a).toEqual({
      name: "a",
      points: [
        [1, 3],
        [3, 2],
      ],
    });
    expect(b!.name).toBe("b");
    const { facts } = named<Facts>(sections, "Result");
    expect(facts["Best loss on a (step 3)"]).toBe(2);
    expect(facts["Best loss on b (step 1)"]).toBe(4);
  });

  test("expert load: the map ends with the last measurement, balance is 1/E", () => {
    const sections = metricsSections([
      line(1, {
        expertLoad: [
          [0.5, 0.5],
          [1, 0],
        ],
      }),
      line(2),
      line(3, {
        expertLoad: [
          [0.75, 0.25],
          [0.5, 0.5],
        ],
      }),
    ]);
    const map = named<HeatMap>(sections, "Expert load");
    expect(map.balanced).toBe(0.5);
    expect(map.frames.map((f) => f.name)).toEqual(["step 1", "step 3"]);
    expect(map.frames[1]!.values).toEqual([
      [0.75, 0.25],
      [0.5, 0.5],
    ]);
    const busiest = named<Curves>(sections, "Busiest expert");
    expect(busiest.series[0]!.points).toEqual([
      [1, 2],
      [3, 1.5],
    ]);
    expect(busiest.series[1]!.points).toEqual([
      [1, 1.5],
      [3, 1.25],
    ]);
  });

  test("a loss that became null in JSON is a gap, told to the reader; a loss below zero needs a linear axis", () => {
    const parsed = [line(1), line(2, { loss: null as unknown as number }), line(3)];
    const loss = named<Curves>(metricsSections(parsed), "Loss");
    expect(loss.log).toBe(true);
    expect(chartData(loss).series[0]!.y).toEqual([9, null, 7]);
    expect(named<Curves>(metricsSections([line(1), line(2, { loss: -1 })]), "Loss").log).toBe(false);
  });

  test("a long run is smoothed, and shows at most 50 times of expert load", () => {
    const lines = fakeMetrics(400).map((m) => ({ ...m, expertLoad: [[0.5, 0.5]] }));
    const sections = metricsSections(lines);
    expect(named<Curves>(sections, "Loss").series.map((s) => s.faint ?? false)).toEqual([
      true,
      false,
      false,
      false,
    ]);
    const { frames } = named<HeatMap>(sections, "Expert load");
    expect(frames).toHaveLength(50);
    expect([frames[0]!.name, frames[49]!.name]).toEqual(["step 1", "step 400"]);
  });
});

test("thinning keeps the ends, every spike and every gap", () => {
  const points = Array.from({ length: 50_001 }, (_, i): [number, number] => [i, Math.sin(i / 1000)]);
  points[12_345]![1] = 99;
  points[23_456]![1] = -99;
  points[34_567]![1] = Number.NaN;
  const thinned = thin(points);
  expect(thinned.length).toBeLessThanOrEqual(kMostPoints + 10);
  for (const i of [0, 12_345, 23_456, 34_567, 50_000]) expect(thinned).toContain(points[i]);
  expect(thinned.every(([x], i) => i === 0 || x > thinned[i - 1]![0])).toBe(true);
  expect(thin(points.slice(0, kMostPoints))).toHaveLength(kMostPoints);
});

test("smoothing is a centred mean that leaves gaps where they are", () => {
  const line = Array.from({ length: 300 }, (_, i): [number, number] => [i, 2 * i]);
  for (const [i, [, y]] of smooth(line).slice(0, 297).entries()) expect(y).toBeCloseTo(2 * i, 9);
  line[150] = [150, Number.NaN];
  const smoothed = smooth(line);
  expect(smoothed[150]![1]).toBeNaN();
  expect(smoothed.filter(([, y]) => Number.isNaN(y))).toHaveLength(1);
});

test("heat is the distance from balance in doublings, or the share of the highest", () => {
  const map = { balanced: 0.125 };
  expect([0.125, 0.25, 0.5, 0.9, 0.0625, 0].map((v) => heat(v, map, 1))).toEqual([0, 0.5, 1, 1, -0.5, -1]);
  expect([0, 2, 4].map((v) => heat(v, {}, 4))).toEqual([0, 0.5, 1]);
  expect(heat(Number.NaN, map, 1)).toBe(0);
});

test("doraSections groups modules by layer, in the order of layers", () => {
  const change = (path: string) => ({ path, mean: 1.1, min: 0.9, max: 1.2 });
  const paths = ["model.layers.10.mlp.up_proj", "model.layers.2.self_attn.q_proj", "lm_head"];
  const [section] = doraSections(paths.map(change)) as [RangeBars];
  expect(section.groups.map((g) => [g.name, g.bars.map((b) => b.name)])).toEqual([
    ["Outside of the layers", ["lm_head"]],
    ["Layer 2", ["self_attn.q_proj"]],
    ["Layer 10", ["mlp.up_proj"]],
  ]);
  const [low, high] = barScale(section);
  expect(low).toBeLessThan(0.9);
  expect(high).toBeGreaterThan(1.2);
  expect(barScale({ reference: 1, groups: [] })).toEqual([0, 2]);
});

test("numbers are written for people", () => {
  const values = [0, 42, 12_683_264, 0.123456, 2.5, 0.0003, -6e-5, 12_345.678, 1e20, Number.NaN];
  expect(values.map(numberText)).toEqual([
    "0",
    "42",
    "12,683,264",
    "0.1235",
    "2.5",
    "3e-4",
    "-6e-5",
    "12,346",
    "1e+20",
    "NaN",
  ]);
});

describe("runs on several sources", () => {
  const lines = [
    line(1, { phase: "a", "loss/x": 3, "tokens/x": 8 }),
    line(2, { phase: "a", "loss/x": 2, "tokens/x": 16, validation: { x: 2 }, "forgetting/x": 0 }),
    line(3, { phase: "b", "loss/y": 5, "tokens/x": 16, "tokens/y": 8 }),
    line(4, {
      phase: "b",
      "loss/y": 4,
      "tokens/x": 16,
      "tokens/y": 16,
      validation: { x: 3 },
      "forgetting/x": 1,
    }),
  ];

  test("have curves by source and of what is forgotten, with the borders of phases", () => {
    const sections = metricsSections(lines);
    const points = (title: string) =>
      Object.fromEntries(named<Curves>(sections, title).series.map((s) => [s.name, s.points]));
    expect(points("Loss by source")).toEqual({
      x: [
        [1, 3],
        [2, 2],
      ],
      y: [
        [3, 5],
        [4, 4],
      ],
    });
    expect(points("Tokens by source").y!.length).toBe(2);
    expect(points("Forgetting").x!.at(-1)).toEqual([4, 1]);
    expect(sections.filter(({ title }) => title.includes("/"))).toEqual([]);
    for (const section of sections) {
      if (section.kind !== "curves") continue;
      expect(section.borders).toEqual([
        { x: 1, name: "a" },
        { x: 3, name: "b" },
      ]);
      expect(chartData(section).summary).toMatch(/a begins at step 1\. b begins at step 3\.$/);
    }
  });
});
