import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { runAblation } from "../../lib/study/ablation/ablation.ts";
import { type AblationResult, metricsOf } from "../../lib/study/ablation/results.ts";
import type { AblationOptions } from "../../lib/study/ablation/settings.ts";
import { signalOf, spearman } from "../../lib/study/ablation/signal.ts";
import { tinyModel } from "../support/cli.ts";
import { tempDir } from "../support/temp_dir.ts";
import { writeJsonl } from "../support/texts.ts";

const words = "the a fox dog runs sleeps over under lazy quick brown red hill river near by".split(" ");
/** Sentences whose words follow each other by rule; `noisy` has the same words without order. */
const texts = (count: number, from: number, noisy = false): { text: string }[] =>
  Array.from({ length: count }, (_, d) => ({
    text: Array.from({ length: 40 }, (_, i) => {
      const ordered = (d + from) * 3 + i;
      return words[(noisy ? (ordered * ordered * 7 + ((i * 31) ^ d)) % 1009 : ordered) % words.length];
    }).join(" "),
  }));

function tiny(): AblationOptions {
  const dir = tempDir();
  const file = (name: string, rows: object[]): string => writeJsonl(path.join(dir, name), rows);
  return {
    variants: {
      ordered: [file("a.jsonl", texts(40, 0)), file("b.jsonl", texts(20, 40))],
      noisy: [file("c.jsonl", texts(90, 0, true))],
    },
    tokenizer: tinyModel("llama"),
    model: {
      model_type: "llama",
      hidden_size: 32,
      intermediate_size: 48,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 2,
      max_position_embeddings: 128,
    },
    heldOut: { ordered: file("held.jsonl", texts(6, 200)) },
    choices: {
      next: file(
        "q.jsonl",
        [0, 1, 2, 3].map((k) => ({
          query: words.slice(k, k + 6).join(" "),
          choices: ["qq", words[k + 6]],
          gold: 1,
        })),
      ),
    },
    batchTokens: 256,
    points: 3,
    lr: 5e-3,
    device: "cpu",
    threads: 1,
    out: path.join(dir, "ablation"),
  };
}

async function all(options: AblationOptions): Promise<AblationResult[]> {
  const results: AblationResult[] = [];
  for await (const result of runAblation(options)) results.push(result);
  return results;
}

test("the variant that is like the held-out text wins, on as many tokens as the other", async () => {
  const options = tiny();
  const results = await all(options);
  expect(results.map(({ variant, seed, status }) => [variant, seed, status])).toEqual([
    ["ordered", 0, "done"],
    ["ordered", 1, "done"],
    ["noisy", 0, "done"],
    ["noisy", 1, "done"],
  ]);
  const ends = results.map(({ points }) => points.at(-1)!);
  expect(new Set(ends.map(({ tokens }) => tokens)).size).toBe(1);
  expect(ends[0]!.tokens).toBe(ends[0]!.step * 256);
  const [a, b, c, d] = ends.map(({ bitsPerByte }) => bitsPerByte.ordered!);
  expect(Math.max(a!, b!)).toBeLessThan(Math.min(c!, d!));
  expect(a).not.toBe(b);
  expect(ends[0]!.choices.next).toMatchObject({ chance: 0.5 });
  const csv = readFileSync(path.join(options.out, "scores.csv"), "utf8").trimEnd().split("\n");
  expect(csv).toHaveLength(1 + 4 * 3);
  const report = readFileSync(path.join(options.out, "report.html"), "utf8");
  expect(report).toMatch(/bits per byte, ordered/);
  expect(report).toMatch(/4 of 4/);
  const signal = signalOf(results, metricsOf(ends[0]!)[0]!);
  expect(signal.monotonicity).toBeGreaterThan(0.9);
  expect(signal.separation).toBeGreaterThan(2);
});

test("an ablation that was stopped in the middle of a run ends with the same numbers", async () => {
  const whole = await all(tiny());
  const options = tiny();
  const stop = new AbortController();
  const first: AblationResult[] = [];
  for await (const result of runAblation({ ...options, signal: stop.signal })) {
    first.push(result);
    setTimeout(() => stop.abort(), 50);
  }
  expect(first.length).toBeLessThan(4);
  expect(existsSync(path.join(options.out, "report.html"))).toBe(false);
  await expect(all(options)).rejects.toThrow(/earlier run/);
  expect(await all({ ...options, resume: true })).toEqual(whole);
  expect(await all({ ...options, resume: true })).toEqual(whole);
  await expect(all({ ...options, resume: true, lr: 1 })).rejects.toThrow(/lr is 1/);
});

test("a run that fails is a result that says why", async () => {
  const results = await all({ ...tiny(), lr: 1e30, clip: 0, seeds: [0] });
  expect(results.map(({ status }) => status)).toEqual(["failed", "failed"]);
  expect(results[0]!.reason).toMatch(/NaN|finite|Infinity/);
});

test("what doesn't fit is refused by name", async () => {
  const options = tiny();
  const refused = (more: object, message: RegExp): Promise<void> =>
    expect(all({ ...options, ...more })).rejects.toThrow(message);
  await refused({ varients: {} }, /varients.*variants/);
  await refused({ variants: { ordered: options.variants.ordered } }, /1 variant, at least two/);
  await refused({ variants: { ...options.variants, "a/b": ["x"] } }, /"a\/b"/);
  await refused({ heldOut: {}, choices: {} }, /nothing to measure on/);
  await refused({ seeds: [0, 0] }, /comes twice/);
  await refused({ tokens: 10_000_000 }, /has \d+ tokens, the 10000000 of the setting tokens were needed/);
});

test("Spearman's correlation, ties included", () => {
  expect(spearman([1, 2, 3, 4], [10, 20, 30, 40])).toBeCloseTo(1, 12);
  expect(spearman([1, 2, 3, 4], [4, 3, 2, 1])).toBeCloseTo(-1, 12);
  // Ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3.
  expect(spearman([1, 2, 2, 3], [1, 2, 3, 4])).toBeCloseTo(4.5 / Math.sqrt(4.5 * 5), 12);
  expect(spearman([1, 1], [1, 2])).toBeNaN();
});
