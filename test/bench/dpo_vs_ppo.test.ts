import { afterAll, expect, test } from "vitest";
import { counterExample, counterExamplePlot } from "../../bench/papers/dpo_vs_ppo/counter_example.ts";
import {
  kSynthetic,
  synthetic,
  syntheticMeasures,
  syntheticPlot,
} from "../../bench/papers/dpo_vs_ppo/synthetic.ts";
import { vowelScore } from "../../bench/papers/dpo_vs_ppo/vowel_task.ts";
import { findingsTable, halfInterval, mean, meanText } from "../../bench/papers/findings.ts";
import { ticksOf } from "../../bench/papers/plot.ts";
import { device } from "../../lib/index.ts";

const dev = await device("cpu");
const live = dev.stats().live;
afterAll(() => {
  expect(dev.stats().live).toBe(live);
  dev.close();
});

test("three actions: DPO may end on the one that was never seen, PPO on the preferred one", async () => {
  // Features of seeds 1 and 3 are the first two of 8 among seeds 0 to 59 from which DPO moves to a3 (of 3000, 16 % do): found by
  // running its descent on the draws in turn.
  const result = await counterExample(dev, { seeds: 4, dpoSteps: 1500, ppoSteps: 100 });
  expect(result.losses.other).toBeLessThan(1e-6);
  expect(result.losses.reference).toBeCloseTo(Math.LN2, 5);
  expect(result.fromOther.dpo[2]).toBeGreaterThan(0.85);
  expect(result.fromOther.ppo[0]).toBeGreaterThan(0.95);
  expect(result.free.dpo[2]).toBeLessThan(1e-6);
  const third = result.shared.map(({ dpo }) => dpo[2]!);
  expect(third[1]).toBeGreaterThan(0.2);
  expect(third[3]).toBeGreaterThan(0.9);
  for (const { ppo } of result.shared) expect(ppo[2]).toBeLessThan(0.05);
  expect(counterExamplePlot(result)).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
});

test("8 × 8: DPO raises a rare response that no pair has, PPO on rewards that know of none raises it less", async () => {
  const result = await synthetic(dev, { ...kSynthetic, seeds: 3, dpoSteps: 200, ppoSteps: 100 });
  const rise = (of: "dpo" | "ppoTable"): number => mean(syntheticMeasures(result, of).rise);
  expect(rise("dpo")).toBeGreaterThan(0.05);
  expect(rise("ppoTable")).toBeLessThan(rise("dpo"));
  for (const { reference, dpo, ppo } of result.runs) {
    for (const probabilities of [reference, dpo, ppo])
      expect(probabilities.reduce((a, b) => a + b)).toBeCloseTo(8, 3);
  }
  expect(syntheticPlot(result)).not.toContain("NaN");
});

test("a definition is worth the share of its words that begin with a vowel, each counted once", () => {
  expect(vowelScore("an animal of the sea")).toBeCloseTo(3 / 5);
  expect(vowelScore("An Animal Of The Sea")).toBeCloseTo(3 / 5);
  expect(vowelScore("of of of of")).toBeCloseTo(1 / 4);
  expect(vowelScore("an old ox")).toBe(0);
  expect(vowelScore("")).toBe(0);
});

test("means come with half their 95 % interval, axes with round numbers", () => {
  expect(halfInterval([1, 2, 3])).toBeCloseTo(4.303 / Math.sqrt(3), 6);
  expect(meanText([1, 2, 3], 2)).toBe("2.00 ± 2.48");
  expect(meanText([0.5], 2)).toBe("0.50");
  expect(ticksOf(0, 1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect(ticksOf(0.31, 0.31).length).toBeGreaterThan(1);
  expect(findingsTable([{ claim: "c", paper: "p", ours: "o", holds: "no" }])).toContain("| c | p | o | no |");
});
