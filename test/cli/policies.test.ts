import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { alignmentFiles } from "../support/alignment_files.ts";
import { mixwright, objectsIn, tinyModel, works } from "../support/cli.ts";
import { tempDir } from "../support/temp_dir.ts";

const model = tinyModel("llama");
const kCountA = `export default (samples) => {
  if (samples.some(({ row }) => !("wanted" in row))) throw new Error("a row lacks a column");
  return samples.map(({ completion, row }) => completion.split(row.wanted).length - 1);
};\n`;

function newRun(reward = kCountA) {
  const dir = tempDir();
  const { prompts } = alignmentFiles(dir);
  const out = path.join(dir, "out");
  const file = path.join(dir, "reward.mjs");
  writeFileSync(file, reward);
  const args = (command: string, ...more: string[]): string[] => {
    const common = ["--model", model, "--data", prompts, "--out", out, "--threads", "2"];
    const size = ["--batch-size", "4", "--max-new-tokens", "6", "--reward", file];
    return [command, ...common, ...size, ...more];
  };
  return { dir, out, file, args };
}

const linesOf = (out: string, file: string) => objectsIn(readFileSync(path.join(out, file), "utf8"));
const chartsIn = (out: string) =>
  [...readFileSync(path.join(out, "report.html"), "utf8").matchAll(/<h2[^>]*>(.*?)<\/h2>/g)].map(
    ([, title]) => title,
  );

describe("ppo", () => {
  it("learns from a function of yours, and keeps what the policy wrote", async () => {
    const { args, out } = newRun();
    const stdout = await works(args("ppo", "--steps", "4", "--samples-every", "2", "--minibatches", "3"));
    expect(stdout).toMatch(/^step 1\/4 · score \d+\.\d{4} · kl -?\d+\.\d{4} · loss .*\nstep 4\/4 .*\nsaved/);
    const samples = linesOf(out, "samples.jsonl");
    expect(samples.map(({ step }) => step)).toEqual([1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4]);
    const first = linesOf(out, "metrics.jsonl")[0]!;
    const mean = samples.slice(0, 4).reduce((sum, { score }) => sum + (score as number) / 4, 0);
    expect(first["rollout/score"]).toBeCloseTo(mean, 6);
    expect(samples[0]).toEqual({
      step: 1,
      score: expect.any(Number),
      prompt: expect.stringMatching(/^the quick \w+ and$/),
      completion: expect.any(String),
      finished: expect.stringMatching(/^(stop|length)$/),
    });
    expect(chartsIn(out)).toEqual(
      expect.arrayContaining(["Score", "KL to the reference", "Explained variance", "Written in step 4"]),
    );
    // The third rollout has two completions only, for three minibatches. The schedule counts updates: it is almost through.
    expect(linesOf(out, "metrics.jsonl").at(-1)!.lr).toBeLessThan(5e-7);
  });

  it("stopped by Ctrl-C, ends with the same bits once resumed", async () => {
    const whole = newRun();
    const parts = newRun();
    const settings = ["--steps", "24", "--lr", "1e-3", "--kl-target", "2", "--samples-every", "1", "--json"];
    await works(whole.args("ppo", ...settings));
    const stopped = await mixwright(parts.args("ppo", ...settings), {
      onLine: (line, child) => {
        if (line.startsWith('{"step":4,')) child.kill("SIGINT");
      },
    });
    expect(stopped.stderr).toContain(`Go on: mixwright ppo --resume --out ${parts.out}`);
    expect(stopped.code).toBe(130);
    expect(existsSync(path.join(parts.out, "model.safetensors"))).toBe(false);
    await works(["ppo", "--resume", "--out", parts.out, "--threads", "2"]);
    const weights = (out: string) => readFileSync(path.join(out, "model.safetensors"));
    expect(weights(parts.out).equals(weights(whole.out))).toBe(true);
    expect(linesOf(parts.out, "samples.jsonl")).toEqual(linesOf(whole.out, "samples.jsonl"));
  });

  it("refuses more minibatches than completions before anything is written", async () => {
    const { code, stderr } = await mixwright(newRun().args("ppo", "--steps", "1", "--minibatches", "5"));
    expect(stderr).toBe(
      "mixwright: trainPpo: minibatches is 5, at most the 4 completions of a step was needed\n",
    );
    expect(code).toBe(1);
  });

  it("dies at once from the second Ctrl-C, even while a reward takes its time", async () => {
    const { args } = newRun(
      'export default () => { console.error("scoring"); return new Promise((f) => setTimeout(f, 600_000)); };',
    );
    const { signal, stderr } = await mixwright(args("ppo", "--steps", "2"), {
      onLine: (line, child) => {
        if (line === "scoring" || line.startsWith("Stopping")) child.kill("SIGINT");
      },
    });
    expect(stderr).toContain("Stopping after this step");
    expect(signal).toBe("SIGINT");
  });
});

describe("grpo", () => {
  it("learns from groups, and from leave-one-out with its KL", async () => {
    const { args, out, dir } = newRun();
    const lines = objectsIn(await works(args("grpo", "--steps", "2", "--group-size", "3", "--json")));
    expect(lines[0]).toMatchObject({ "rollout/sameScores": expect.any(Number) });
    expect(lines[0]).not.toHaveProperty("objective/kl");
    expect(chartsIn(out)).toContain("Groups of equal scores");
    const rloo = path.join(dir, "rloo");
    const more = ["--advantage", "rloo", "--adapter", "lora", "--out", rloo, "--json"];
    expect(objectsIn(await works(args("grpo", "--steps", "2", ...more)))[0]).toHaveProperty("objective/kl");
    expect(existsSync(path.join(rloo, "adapter_model.safetensors"))).toBe(true);
  });
});

describe("a reward model", () => {
  const dir = mkdtempSync(path.join(tmpdir(), "mixwright-rewards-"));
  const [whole, adapter] = [path.join(dir, "whole"), path.join(dir, "adapter")];
  afterAll(() => rmSync(dir, { recursive: true }));
  beforeAll(async () => {
    const { pairs } = alignmentFiles(dir);
    const args = ["reward", "--model", model, "--data", pairs, "--steps", "2", "--lr", "1e-3"];
    await works([...args, "--out", whole]);
    await works([...args, "--out", adapter, "--adapter", "lora"]);
  });

  it("scores what policies write, whole or as an adapter, and may begin the value function", async () => {
    const { args, dir } = newRun();
    const scores: unknown[] = [];
    for (const [out, reward, ...more] of [
      ["a", whole, "--value", whole],
      ["b", adapter, "--value", model],
      ["c", adapter, "--reward-base", model],
    ] as const) {
      const given = args("ppo", "--steps", "1", "--reward", reward, ...more, "--out", path.join(dir, out));
      scores.push(objectsIn(await works([...given, "--json"]))[0]!["rollout/score"]);
    }
    expect(scores[0]).not.toBe(scores[1]);
    expect(scores[1]).toBe(scores[2]);
  });

  it("whose base is elsewhere, or with other tokens, or of another kind is refused", async () => {
    const { args } = newRun();
    const answer = async (...more: string[]) => {
      const { code, stderr } = await mixwright(args("grpo", "--steps", "1", ...more));
      return `${code} ${stderr}`;
    };
    const dictionary = path.resolve("models/dictionary");
    expect(await answer("--reward", adapter, "--reward-base", dictionary)).toMatch(
      /^2 .*--reward: the tokenizer of .*dictionary \(\d+ tokens\) is not that of/,
    );
    expect(await answer("--reward", model)).toMatch(
      /^1 .*--reward: \S+ has no reward_head.safetensors, a folder made by mixwright reward was needed/,
    );
    expect(await answer("--reward-base", model)).toMatch(
      /^1 .*--reward-base is given, and --reward is the file/,
    );
    const config = path.join(adapter, "adapter_config.json");
    const text = readFileSync(config, "utf8");
    writeFileSync(config, text.replace(model, "/gone/model"));
    expect(await answer("--reward", adapter)).toMatch(
      /^1 .* is an adapter of "\/gone\/model", which is no folder here. Say where it is by --reward-base/,
    );
    writeFileSync(config, text);
  });
});

describe("a reward module", () => {
  const bad: [why: string, text: string | undefined, message: RegExp][] = [
    ["isn't there", undefined, /--reward: there is no file or folder \S+reward.mjs$/],
    ["isn't JavaScript", "export default {{", /--reward: \S+reward.mjs can't be loaded: /],
    ["has no default", "export const a = 1;", /the default export of \S+reward.mjs is undefined, a function/],
    [
      "throws",
      'export default () => { throw new Error("no judge"); };',
      /--reward: \S+reward.mjs threw Error: no judge$/,
    ],
    [
      "gives NaN",
      "export default (s) => s.map((_, i) => (i === 1 ? NaN : 0));",
      /--reward: \S+reward.mjs: reward: the score of sample 1 is NaN, a finite number was needed \(completion "/,
    ],
    [
      "gives too few",
      "export default () => [1];",
      /it gave 1 scores for 4 samples, one for each was needed$/,
    ],
  ];
  it.each(bad)("that %s ends the run with exit code 1", async (_, text, message) => {
    const { args, file, out } = newRun(text);
    if (text === undefined) rmSync(file);
    const { code, stderr } = await mixwright(args("ppo", "--steps", "2"));
    expect(stderr.trimEnd()).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(code).toBe(1);
    expect(existsSync(path.join(out, "metrics.jsonl"))).toBe(false);
  });

  it("that failed late may be mended, and the run goes on", async () => {
    const late =
      "let n = 0;\nexport default (s) => { if (++n === 3) throw new Error('late'); return s.map(() => n); };\n";
    const { args, file, out } = newRun(late);
    const failed = await mixwright(args("ppo", "--steps", "4", "--checkpoint-every", "1"));
    expect(failed.code).toBe(1);
    writeFileSync(file, "export default (s) => s.map(() => 1);\n");
    await works(["ppo", "--resume", "--out", out, "--threads", "2"]);
    expect(linesOf(out, "metrics.jsonl").map(({ step }) => step)).toEqual([1, 2, 3, 4]);
  });
});

describe("flags", () => {
  const refused: [command: string, more: string[], message: RegExp][] = [
    ["ppo", ["--kl-horizon", "5"], /--kl-horizon is a setting of a steered KL. Give --kl-target with it/],
    ["ppo", ["--max-new-tokens", "100000"], /--max-new-tokens 100000 go beyond the model's context of \d+/],
    ["ppo", ["--temperature", "0"], /--temperature is 0, more than 0 was needed/],
    ["ppo", ["--validation", "x"], /unknown option '--validation'/],
    ["grpo", ["--advantage", "gae"], /--advantage is "gae", one of grpo, rloo was needed/],
    ["grpo", ["--group-size", "1"], /--group-size is 1, at least 2 was needed/],
    ["grpo", ["--reference-decay", "0.9", "--reference", "x"], /--reference-decay moves .* Leave one out/],
  ];
  it.each(refused)("%s %s is refused", async (command, more, message) => {
    const { args, out } = newRun();
    const { code, stderr } = await mixwright(args(command, "--steps", "1", ...more));
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
    expect(existsSync(out)).toBe(false);
  });
});
