import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { best, widen } from "../../bench/papers/adaptation/arms.ts";
import { overTokens, paretoChart } from "../../bench/papers/adaptation/charts.ts";
import { measureCosts } from "../../bench/papers/adaptation/cost.ts";
import { aboveZero, forgottenAlike, forgottenAt, rankOf } from "../../bench/papers/adaptation/measures.ts";
import { carryOut, type Script } from "../../bench/papers/adaptation/script.ts";
import { device } from "../../lib/index.ts";
import { fakeOutcome } from "../support/adaptation_outcome.ts";
import { tinyStudy } from "../support/tiny_study.ts";

const sweepOf = (losses: (number | null)[]) =>
  losses.map((loss, i) => ({ lr: [1e-3, 3e-3, 1e-2][i]!, loss }));

test("more learning rates are tried beyond the best as long as it is at an end", () => {
  expect(widen(sweepOf([2, 1, 2]))).toBeUndefined();
  expect(widen(sweepOf([1, 2, 3]))).toBe(3e-4);
  expect(widen(sweepOf([3, 2, 1]))).toBe(0.03);
  expect(widen(sweepOf([null, null, null]))).toBe(3e-4);
  expect(widen(sweepOf([1]))).toBeUndefined();
  expect(best(sweepOf([2, 1, null]))).toEqual({ lr: 3e-3, loss: 1 });
  expect(() => best(sweepOf([null, null]))).toThrow("all of the learning rates 0.001, 0.003 diverged");
});

test("a comparison holds if the interval of its differences is above 0", () => {
  expect(aboveZero([1, 1.1, 0.9])).toBe("yes");
  expect(aboveZero([1, 3, -1])).toBe("in part");
  expect(aboveZero([-1, -1.1, 0.5])).toBe("no");
  expect(aboveZero([1])).toBe("in part"); // one seed has no interval
});

test("forgetting is compared where both have learned the same", () => {
  const outcome = fakeOutcome([
    { name: "a", learned: 4, forgotten: 2 },
    { name: "b", learned: 2, forgotten: 0.5 },
  ]);
  const [a, b] = outcome.arms;
  expect(forgottenAt(a!.runs[0]!, outcome.base, 1)).toBeCloseTo(0.5, 9);
  expect(forgottenAt(b!.runs[0]!, outcome.base, 3)).toBeUndefined();
  const alike = forgottenAlike(outcome, "a", "b");
  expect(alike.level[1]).toBeCloseTo(2.01, 9);
  expect(alike.a[0]).toBeCloseTo(1, 9);
  expect(alike.b).toEqual([0.5, 0.5, 0.5].map((x) => expect.closeTo(x, 9)));
  expect(paretoChart(outcome, "t")).not.toContain("NaN");
  expect(overTokens(outcome, "learned", "t")).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
});

test("ranks of a kind, and as shares", () => {
  const { arms } = fakeOutcome([{ name: "a", learned: 1, forgotten: 1, ranks: [8, 32] }]);
  const point = arms[0]!.runs[0]!.points[1]!;
  expect(rankOf(point)).toEqual({ rank: 20, share: 20 / 64 });
  expect(rankOf(point, "experts")).toEqual({ rank: 32, share: 0.5 });
});

test("costs are measured: two moments and a gradient for each number that trains", async () => {
  const dev = await device("cpu");
  const { live } = dev.stats();
  const arms = [
    { name: "full", method: { method: "full" as const } },
    { name: "LoRA", method: { method: "lora" as const, rank: 2 } },
    { name: "DoRA", method: { method: "dora" as const, rank: 2 } },
  ];
  const costs = await measureCosts(dev, tinyStudy("mixtral"), arms, { batchTokens: 64, rounds: 3 });
  expect(dev.stats().live).toBe(live);
  dev.close();
  for (const cost of costs) {
    expect(cost.optimizerBytes).toBe(8 * cost.trainable);
    expect(cost.gradientBytes).toBe(4 * cost.trainable);
    expect(cost.rounds).toHaveLength(3);
    expect(cost.microsecondsPerToken).toBeGreaterThan(0);
  }
  const [full, lora, dora] = costs;
  expect(full!.adapterBytes).toBe(0);
  expect(lora!.adapterBytes).toBeGreaterThanOrEqual(4 * lora!.trainable);
  expect(dora!.trainable).toBeGreaterThan(lora!.trainable);
  expect(lora!.trainable).toBeLessThan(full!.trainable);
});

test("arms get their rates on one seed and text, are reported on others, and aren't trained twice", {
  timeout: 300_000,
}, async () => {
  const { model, data, newHeldOut, oldHeldOut, out } = tinyStudy();
  const script: Script = {
    name: "tiny",
    arms: [
      { name: "full", method: { method: "full" }, rates: [1e-6, 1e-2, 1e30] },
      { name: "decayed", method: { method: "full", weightDecay: 1 }, rates: "full" },
      { name: "LoRA", method: { method: "lora", rank: 2 }, rates: [1e-2] },
    ],
    settings: { steps: 8, points: [2], batchTokens: 256, seeds: 2, schedule: "constant", weightDecay: 0 },
    rounds: 1,
    findings: ({ arms }) => [{ claim: "arms", paper: "–", ours: String(arms.length), holds: "yes" }],
    tables: () => [],
    charts: (outcome) => ({ "pareto.svg": paretoChart(outcome, "t") }),
  };
  const domains = { model, data, newHeldOut, oldHeldOut };
  const lines: string[] = [];
  const written = await carryOut(script, domains, { out, progress: (line) => lines.push(line) });
  expect(lines).toHaveLength(4 + 6);
  expect(written.text).toContain("| arms | – | 3 | yes |");
  expect(written.text).toMatch(/\| full \| [\d.]+ \| \*\*[\d.]+\*\* \| diverged \|/);
  const { arms } = JSON.parse(readFileSync(path.join(out, "results.json"), "utf8"));
  expect(arms.map(({ name, lr }: { name: string; lr: number }) => [name, lr])).toEqual([
    ["full", 1e-2],
    ["decayed", 1e-2],
    ["LoRA", 1e-2],
  ]);
  expect(arms[0].sweep[2]).toEqual({ lr: 1e30, loss: null });
  for (const { runs } of arms) {
    expect(runs.map(({ seed }: { seed: number }) => seed)).toEqual([0, 1]);
    expect(runs[0].points.map(({ step }: { step: number }) => step)).toEqual([2, 8]);
    expect(runs[0].points[1].new.bitsPerByte).not.toBe(runs[1].points[1].new.bitsPerByte);
  }
  expect(arms[1].runs[0].points[1].new).not.toEqual(arms[0].runs[0].points[1].new);
  await carryOut(script, domains, { out });
  const again = JSON.parse(readFileSync(path.join(out, "results.json"), "utf8"));
  expect(again.arms).toEqual(arms); // times of steps among them: nothing was trained again
});
