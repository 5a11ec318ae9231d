import { afterAll, expect, test } from "vitest";
import { evenness, loadOf } from "../../bench/papers/moe/choices.ts";
import {
  armsTable,
  evennessPlot,
  gainPlot,
  kArms,
  kMoeVsDense,
  loadsPlot,
  type MoeVsDense,
  moeVsDense,
  moeVsDenseFindings,
  speedUp,
} from "../../bench/papers/moe/moe_vs_dense.ts";
import { chanceRepeats, evenChance, neighbours, repeatsOf } from "../../bench/papers/moe/repeats.ts";
import { routingStudy } from "../../bench/papers/moe/routing.ts";
import {
  apart,
  distance,
  domainLoadsPlot,
  repeatsPlot,
  repeatsTable,
  routingFindings,
} from "../../bench/papers/moe/routing_findings.ts";
import { heatMap } from "../../bench/papers/plot.ts";
import { studyArguments } from "../../bench/papers/study_files.ts";
import { Random } from "../../lib/core/random.ts";
import { device, packBatch } from "../../lib/index.ts";

const dev = await device("cpu");
afterAll(() => {
  expect(dev.stats().live).toBe(0);
  dev.close();
});

const tiny = {
  ...kMoeVsDense,
  seeds: 2,
  vocabSize: 512,
  hidden: 32,
  layers: 2,
  expertWidth: 16,
  steps: 40,
  heldOutTokens: 1000,
};
const plots = (svgs: readonly string[]): void => {
  for (const svg of svgs) {
    expect(svg).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
    expect(svg).not.toMatch(/NaN|undefined/);
  }
};

test("experts and a dense model learn the same text; a bias evens the load", {
  timeout: 300_000,
}, async () => {
  const result = await moeVsDense(dev, { ...tiny, routerBiasRate: 0.01 });
  const { dense, sparse } = result.parameters;
  // As many products a token, the router's aside.
  expect(sparse.active - dense.active).toBe(tiny.layers * tiny.experts * tiny.hidden);
  for (const arm of kArms) {
    expect(result.runs[arm]).toHaveLength(2);
    for (const { bitsPerByte, curve, loads } of result.runs[arm]) {
      expect(curve.map(({ step }) => step)).toEqual([5, 10, 15, 20, 25, 30, 35, 40]);
      expect(curve.at(-1)!.bitsPerByte).toBeCloseTo(bitsPerByte, 4);
      expect(bitsPerByte).toBeLessThan(curve[0]!.bitsPerByte);
      expect(loads).toHaveLength(arm === "dense" ? 0 : 2);
      for (const load of loads) expect(load.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
    }
  }
  const vio = (arm: "bias" | "no balancing") =>
    result.runs[arm].reduce((sum, { loads }) => sum + evenness(loads).maxVio, 0);
  expect(vio("bias")).toBeLessThan(vio("no balancing"));
  plots([gainPlot(result), evennessPlot(result), loadsPlot(result)]);
  expect(armsTable(result).split("\n")).toHaveLength(6);
  expect(moeVsDenseFindings(result)).toHaveLength(7);
});

test("verdicts follow the differences by seed", () => {
  const run = (bitsPerByte: number, load: number) => ({
    bitsPerByte,
    curve: [1, 2].map((step) => ({ step, bitsPerByte: bitsPerByte + 2 - step })),
    loads: [[load, 1 - load]],
    seconds: 1,
  });
  const runs: MoeVsDense["runs"] = {
    dense: [run(3, 0.5), run(3.1, 0.5)],
    "no balancing": [run(2.8, 0.9), run(2.9, 0.9)],
    "auxiliary loss": [run(2.9, 0.6), run(3, 0.601)],
    bias: [run(2.905, 0.7), run(3.005, 0.55)],
  };
  const parameters = { dense: { total: 1, active: 1 }, sparse: { total: 1, active: 1 } };
  const verdicts = moeVsDenseFindings({ options: kMoeVsDense, parameters, runs }).map(({ holds }) => holds);
  expect(verdicts).toEqual(["yes", "yes", "yes", "in part", "no", "yes", "yes"]);
});

test("how many times faster a curve gets where the other one ends", () => {
  const curve = (...losses: number[]) =>
    losses.map((bitsPerByte, i) => ({ step: 10 * (i + 1), bitsPerByte }));
  expect(speedUp(curve(4, 3, 2), curve(3, 1, 0.5))).toBeCloseTo(30 / 15);
  expect(speedUp(curve(4, 3, 2), curve(2, 1, 1))).toBeCloseTo(3);
  expect(speedUp(curve(4, 3, 2), curve(4, 3, 2))).toBe(1);
  expect(speedUp(curve(4, 3, 2), curve(4, 3, 2.1))).toBe(0);
});

test("how even a load is", () => {
  expect(evenness([[0.25, 0.25, 0.25, 0.25]])).toEqual({ maxVio: 0, entropy: 1, dead: 0 });
  const { maxVio, entropy, dead } = evenness([
    [0.5, 0.5, 0, 0],
    [0.25, 0.25, 0.25, 0.25],
  ]);
  expect(maxVio).toBeCloseTo(0.5);
  expect(entropy).toBeCloseTo(0.75);
  expect(dead).toBe(2);
  expect(loadOf({ experts: Int32Array.of(0, 2, 2, 2) }, 4)).toEqual([0.25, 0, 0.75, 0]);
});

test("repeats count neighbours of one document; chance is what random choices repeat", () => {
  const batches = [packBatch([[1, 2, 3], [4]]), packBatch([[5, 6]])];
  expect(neighbours(batches)).toEqual([0, 1, 4]);
  const experts = Int32Array.of(0, 1, 0, 2, 2, 1, 0, 1, 3, 4, 5, 3);
  expect(repeatsOf({ experts, K: 2 }, [0, 1, 4])).toEqual({ first: 1 / 3, either: 1 });
  const random = new Random(5);
  const drawn = Int32Array.from({ length: 40_000 }, () => 0);
  for (let t = 0; t < drawn.length; t += 2) {
    drawn[t] = random.below(8);
    drawn[t + 1] = (drawn[t]! + 1 + random.below(7)) % 8;
  }
  const pairs = Array.from({ length: 19_999 }, (_, t) => t);
  const even = evenChance(8);
  expect(even.either).toBeCloseTo(0.464286, 6);
  for (const { first, either } of [
    repeatsOf({ experts: drawn, K: 2 }, pairs),
    chanceRepeats({ experts: drawn, K: 2 }, pairs),
  ]) {
    expect(Math.abs(first - even.first)).toBeLessThan(0.01);
    expect(Math.abs(either - even.either)).toBeLessThan(0.015);
  }
  // One expert for half of all tokens: more repeats than even loads give, none of them above chance.
  const skewed = Int32Array.from({ length: 10_000 }, () => (random.below(2) === 0 ? 0 : random.below(8)));
  const skewedPairs = Array.from({ length: 9999 }, (_, t) => t);
  const seen = repeatsOf({ experts: skewed, K: 1 }, skewedPairs).first;
  expect(seen).toBeGreaterThan(0.3);
  expect(Math.abs(seen - chanceRepeats({ experts: skewed, K: 1 }, skewedPairs).first)).toBeLessThan(0.02);
});

test("what a trained and the shipped model choose by", { timeout: 300_000 }, async () => {
  const study = await routingStudy(dev, { ...tiny, domains: ["glosses", "declarations"] });
  expect(study.trained).toHaveLength(2);
  for (const looked of [...study.trained, study.shipped]) {
    expect(Object.keys(looked)).toEqual(["glosses", "declarations"]);
    for (const { repeats, chance, load, firstLoad } of Object.values(looked).flat()) {
      for (const of of [load, firstLoad]) expect(of.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
      for (const share of [...Object.values(repeats), ...Object.values(chance)]) {
        expect(share).toBeGreaterThanOrEqual(0);
        expect(share).toBeLessThanOrEqual(1);
      }
      expect(repeats.either).toBeGreaterThanOrEqual(repeats.first);
    }
    expect(apart(looked, "glosses", "glosses")).toBe(0);
    expect(apart(looked, "glosses", "declarations")).toBeGreaterThan(0);
  }
  expect(study.shipped.glosses).toHaveLength(4);
  plots([repeatsPlot(study), domainLoadsPlot("loads", study.shipped, study.shippedExperts)]);
  expect(repeatsTable(study)).toMatch(/\n\| shipped \| first choice, layer 0 /);
  for (const { ours } of routingFindings(study)) expect(ours).not.toContain("NaN");
  expect(distance([1, 0, 0], [0, 0.5, 0.5])).toBe(1);
});

test("a heat map is white at balance, full at half and double of it", () => {
  const svg = heatMap({
    title: "t",
    columns: ["0", "1", "2", "3"],
    columnLabel: "expert",
    rows: [{ name: "a <b>", values: [0.25, 0.5, 0.125, 0] }],
    balanced: 0.25,
  });
  plots([svg]);
  expect([...svg.matchAll(/fill-opacity="([\d.]+)"/g)].map(([, of]) => Number(of))).toEqual([
    0, 0.75, 0.75, 0.75,
  ]);
  expect(svg).toContain("a &#60;b&#62;");
});

test("a script's arguments", () => {
  expect(studyArguments("x", [])).toEqual({ out: "runs/x", seeds: undefined, on: {} });
  expect(studyArguments("x", ["--out", "y", "--seeds", "2"])).toEqual({ out: "y", seeds: 2, on: {} });
  expect(studyArguments("x", ["--threads", "1"]).on).toEqual({ threads: 1 });
  expect(() => studyArguments("x", ["--seeds", "0"])).toThrow("a whole number above 0 was needed");
});
