import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { charts } from "../../bench/papers/continual_pretraining/charts.ts";
import { above, findingsOf, together } from "../../bench/papers/continual_pretraining/claims.ts";
import { openDomains, type Texts } from "../../bench/papers/continual_pretraining/domains.ts";
import {
  continualPretraining,
  endOf,
  kOptions,
  nameOf,
  type Options,
  startOf,
} from "../../bench/papers/continual_pretraining/study.ts";
import { lossTables } from "../../bench/papers/continual_pretraining/tables.ts";
import { declarations, glosses } from "../../bench/papers/texts.ts";
import { device } from "../../lib/index.ts";

const dev = await device("cpu");
const live = dev.stats().live;
let dir: string;
let texts: Texts;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "continual-test-"));
  const all = await glosses();
  const every = (n: number, from: number): string[] => all.filter((_, i) => i % n === from);
  texts = { old: every(60, 0), weak: every(200, 1), strong: await declarations() };
});
afterAll(async () => {
  await rm(dir, { recursive: true });
  expect(dev.stats().live).toBe(live);
  dev.close();
});

const tiny: Options = {
  ...kOptions,
  seeds: 2,
  oldSteps: 20,
  newSteps: 10,
  batchTokens: 256,
  maxLength: 64,
  measurements: 2,
  vocabSize: 400,
  heldOutBytes: 3000,
  architecture: { ...kOptions.architecture, vocab_size: 400, hidden_size: 32, intermediate_size: 16 },
};

test("learning declarations forgets glosses, replay of half spares them; findings, tables and charts are of it", async () => {
  const lines: string[] = [];
  const study = await continualPretraining(dev, texts, tiny, {
    dir,
    signal: new AbortController().signal,
    progress: (line) => lines.push(line),
  });
  const end = (replay: number) => endOf(study, { shift: "strong", replay, rates: "cosine" });
  study.seeds.forEach(({ seconds }, seed) => {
    expect(end(0.5).old[seed]).toBeLessThan(end(0).old[seed]!);
    expect(end(0).new[seed]).toBeLessThan(end(0.5).new[seed]!);
    expect(end(0).new[seed]).toBeLessThan(startOf(study, "cosine", "strong").new[seed]!);
    const curve = seconds[nameOf({ shift: "strong", replay: 0, rates: "cosine" })]!;
    expect(curve.map(({ step }) => step)).toEqual([5, 10]);
  });
  // Other weights and another order: no two seeds come out alike.
  const [a, b] = end(0).new;
  expect(a).not.toBe(b);
  const findings = findingsOf(study);
  expect(findings.length).toBe(25);
  for (const { ours } of findings) expect(ours).not.toMatch(/NaN|undefined/);
  expect(lossTables(study).join()).not.toMatch(/NaN|undefined/);
  expect(charts(study).map(([name]) => name)).toEqual([
    "replay_strong.svg",
    "curves_strong_old.svg",
    "curves_strong_new.svg",
    "replay_weak.svg",
    "curves_weak_old.svg",
    "curves_weak_new.svg",
    "rates.svg",
  ]);
  for (const [, svg] of charts(study)) expect(svg).not.toMatch(/NaN|undefined/);
  expect(lines.at(-1)).toMatch(/^seed 2 of 2, weak, union of the second phase's length: \d/);
}, 240_000);

test("a wish to stop ends it between two steps, and no branch is left behind", async () => {
  const controller = new AbortController();
  const own = await mkdtemp(path.join(dir, "stopped-"));
  const running = continualPretraining(
    dev,
    texts,
    { ...tiny, seeds: 1 },
    {
      dir: own,
      signal: controller.signal,
      progress: (line) => {
        if (line.includes("first phase, infinite:")) controller.abort();
      },
    },
  );
  await expect(running).rejects.toThrow("aborted");
  expect((await readdir(own)).sort()).toEqual(["seed-1-cosine", "seed-1-infinite", "tokenizer"]);
}, 120_000);

test("held-out text is no training text, and bits a byte count all of its tokens", async () => {
  const words = (n: number, of: string): string[] => Array.from({ length: n }, (_, i) => `${of} ${i} ${of}`);
  const folder = await mkdtemp(path.join(dir, "domains-"));
  const domains = await openDomains(
    { old: words(40, "red"), weak: words(30, "green"), strong: words(20, "blue") },
    folder,
    { vocabSize: 257, heldOutBytes: 50, batchTokens: 64, maxLength: 64 },
  );
  // By 256 bytes alone a document has as many tokens as bytes, and an end.
  const held = domains.strong.heldOut.reduce((sum, { offsets }) => sum + offsets.length - 1, 0);
  const bytes = domains.strong.heldOut.reduce((sum, { tokens }) => sum + tokens.length, 0) - held;
  expect(bytes).toBeGreaterThanOrEqual(50);
  expect(domains.strong.bitsPerNat).toBeCloseTo(1 / Math.LN2, 6);
  expect(domains.strong.train.documents + held).toBe(20);
  const { old, none } = domains;
  const olds = old.heldOut.reduce((sum, { offsets }) => sum + offsets.length - 1, 0);
  expect(old.train.documents + none.train.documents + olds).toBe(40);
  expect(none.heldOut).toBe(old.heldOut);
});

test("verdicts are by the interval of the differences", () => {
  expect(above([0.1, 0.11, 0.12])).toBe("yes");
  expect(above([0.1, -0.05, 0.1])).toBe("in part");
  expect(above([-0.1, -0.11, -0.12])).toBe("no");
  expect(above([0.1])).toBe("in part"); // one value has no interval
  expect(above([-0.01, -0.011, -0.009], -0.02)).toBe("yes");
  expect(together(["yes", "in part"])).toBe("in part");
  expect(together(["yes", "no", "in part"])).toBe("no");
  expect(together(["yes", "yes"])).toBe("yes");
});
