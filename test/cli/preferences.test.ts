import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { kRewardHead } from "../../lib/cli/reward_source.ts";
import { attachRewardHead, device, loadAdapter, loadModel, packBatch } from "../../lib/index.ts";
import { alignmentFiles } from "../support/alignment_files.ts";
import { mixwright, objectsIn, tinyModel, works } from "../support/cli.ts";
import { expectClose } from "../support/oracle.ts";
import { tempDir } from "../support/temp_dir.ts";

const model = tinyModel("llama");

function newRun() {
  const dir = tempDir();
  const files = alignmentFiles(dir);
  const out = path.join(dir, "out");
  const args = (command: string, data: string, ...more: string[]): string[] => {
    const common = ["--model", model, "--data", data, "--out", out, "--threads", "2"];
    return [command, ...common, ...more];
  };
  return { dir, out, args, ...files };
}

/** Rewards of two documents by a folder, or by a model below an adapter; the head is that of the last folder. */
async function rewardsOf(folder: string, adapter?: string, head = adapter ?? folder): Promise<number[]> {
  using dev = await device("cpu", { threads: 1 });
  const on = await loadModel(folder, { device: dev });
  if (adapter) await loadAdapter(on, adapter);
  using score = attachRewardHead(on, { weights: path.join(head, kRewardHead) });
  using rewards = score.rewards(
    packBatch([
      [1, 5, 9, 2],
      [1, 7],
    ]),
  );
  return Array.from(await rewards.data());
}

const textOf = (out: string, file: string) => readFileSync(path.join(out, file), "utf8");
const chartsIn = (out: string) =>
  [...textOf(out, "report.html").matchAll(/<h2[^>]*>(.*?)<\/h2>/g)].map(([, title]) => title);

describe("reward", () => {
  it("saves the model, its head and a report, and measures on pairs of its own", async () => {
    const { args, out, pairs } = newRun();
    const given = args("reward", pairs, "--steps", "8", "--lr", "1e-3", "--validation", pairs, "--json");
    const { code, stdout, stderr } = await mixwright(given);
    expect(code).toBe(0);
    const line = "left out, the first in line 3: chosen and rejected are the same, token for token";
    expect(stderr).toBe(`1 pairs are ${line}\n1 pairs of --validation are ${line}\n`);
    const lines = objectsIn(stdout);
    const { validation } = lines.at(-1)! as { validation: Record<string, number> };
    expect(validation.validation).toBeLessThan(lines[0]!.loss as number);
    expect(validation["validation/rewards/accuracies"]).toBe(1);
    expect(objectsIn(textOf(out, "metrics.jsonl"))).toEqual(lines);
    for (const file of ["model.safetensors", "tokenizer.json", "reward_head.safetensors", "run.json"])
      expect(existsSync(path.join(out, file))).toBe(true);
    expect(chartsIn(out)).toEqual(expect.arrayContaining(["Loss", "Accuracy", "Reward margin", "Rewards"]));
  });

  it("saves an adapter beside its head, and merge takes the head along", async () => {
    const { dir, args, out, pairs } = newRun();
    await works(args("reward", pairs, "--steps", "2", "--adapter", "dora", "--rank", "2", "--lr", "1e-2"));
    for (const file of ["adapter_model.safetensors", kRewardHead])
      expect(existsSync(path.join(out, file))).toBe(true);
    expect(existsSync(path.join(out, "model.safetensors"))).toBe(false);
    const merge = (from: string, to: string) => ["merge", "--model", from, "--adapter", out, "--out", to];
    const [merged, twice] = [path.join(dir, "merged"), path.join(dir, "twice")];
    expect(objectsIn(await works([...merge(model, merged), "--json"]))).toEqual([
      { model: merged, layers: expect.any(Number), rewardHead: path.join(out, kRewardHead) },
    ]);
    const apart = await rewardsOf(model, out);
    expectClose(await rewardsOf(merged), apart, 1e-4, "rewards");
    expect(Math.abs(apart[0]! - (await rewardsOf(model, undefined, out))[0]!)).toBeGreaterThan(1e-3);

    rmSync(path.join(out, kRewardHead)); // now the model's own counts
    expect(await works(merge(merged, twice))).toContain(`of ${path.join(merged, kRewardHead)}\n`);
    expect(readFileSync(path.join(twice, kRewardHead))).toEqual(readFileSync(path.join(merged, kRewardHead)));
    writeFileSync(path.join(out, kRewardHead), readFileSync(path.join(out, "adapter_model.safetensors")));
    const { code, stderr } = await mixwright(merge(model, path.join(dir, "none")));
    expect(stderr).toMatch(/score\.weight isn't among .* in \S+reward_head\.safetensors/);
    expect(code).toBe(1);
    expect(existsSync(path.join(dir, "none"))).toBe(false);
  });
});

describe("dpo", () => {
  it("shows people accuracy and margin", async () => {
    const { args, out, pairs } = newRun();
    const stdout = await works(
      args("dpo", pairs, "--steps", "3", "--loss", "ipo", "--batch-size", "3", "--validation", pairs),
    );
    expect(stdout).toMatch(
      /^step 1\/3 · loss 25\.0000 · accuracy 0\.00 · margin 0\.0000 · lr .* tokens\/s\nstep 3\/3 .* · validation \d+\.\d{4} · validation accuracy \d\.\d\d · lr .*\nsaved in .*out\n$/,
    );
    const { settings } = JSON.parse(textOf(out, "run.json"));
    expect(settings).toMatchObject({ loss: ["ipo"], batchSize: 3, lr: 1e-6, shuffle: true });
    expect(chartsIn(out)).toContain("Log-probabilities");
  });

  it("adds weighted losses, on an adapter, against another model", async () => {
    const { args, out, pairs } = newRun();
    const losses = ["--loss", "sigmoid:0.8", "bco_pair:0.2", "sft:1", "--beta", "0.2", "--ld-alpha", "0.5"];
    const adapter = ["--adapter", "lora", "--targets", "all-linear", "--lr", "1e-3", "--reference", model];
    const stdout = await works(args("dpo", pairs, "--steps", "4", ...losses, ...adapter, "--json"));
    const lines = objectsIn(stdout);
    expect(lines.at(-1)!.loss).toBeLessThan(lines[0]!.loss as number);
    expect(existsSync(path.join(out, "adapter_model.safetensors"))).toBe(true);
  });

  it("stopped by Ctrl-C, ends with the same bits once resumed", async () => {
    const whole = newRun();
    const parts = newRun();
    const settings = ["--steps", "40", "--lr", "1e-3", "--batch-size", "4", "--validate-every", "20"];
    const args = (run: typeof whole) =>
      run.args("dpo", run.pairs, ...settings, "--validation", run.pairs, "--json");
    const lines = objectsIn(await works(args(whole)));
    const stopped = await mixwright(args(parts), {
      onLine: (line, child) => {
        if (line.startsWith('{"step":5,')) child.kill("SIGINT");
      },
    });
    expect(stopped.stderr).toContain(`Go on: mixwright dpo --resume --out ${parts.out}`);
    expect(stopped.code).toBe(130);
    expect(existsSync(path.join(parts.out, "report.html"))).toBe(true);
    await works(["dpo", "--resume", "--out", parts.out, "--threads", "2"]);
    const weights = (out: string) => readFileSync(path.join(out, "model.safetensors"));
    expect(weights(parts.out).equals(weights(whole.out))).toBe(true);
    const resumed = objectsIn(textOf(parts.out, "metrics.jsonl"));
    expect(resumed.map(({ validation }) => validation)).toEqual(lines.map(({ validation }) => validation));
  });

  const refused: [why: string, more: string[], code: number, message: RegExp][] = [
    ["an unknown loss", ["--loss", "dpoo"], 2, /dpo: --loss is "dpoo", is it dpo\? Known are dpo, hinge/],
    ["a name of all objects", ["--loss", "toString"], 2, /--loss is "toString"/],
    ["a weight of 0", ["--loss", "dpo:0"], 2, /--loss is "dpo:0", NAME:WEIGHT with a weight above 0/],
    [
      "a setting of another loss",
      ["--loss", "dpo", "--tau", "1"],
      1,
      /tau is no setting of dpo, which takes/,
    ],
    [
      "a reference for none",
      ["--loss", "simpo", "--reference", model],
      1,
      /simpo reads no reference, and one was given/,
    ],
    ["an adapter's rank", ["--rank", "4"], 2, /dpo: --rank is a setting of adapters/],
    ["a length", ["--max-length", "100000"], 2, /--max-length is 100000, at most the model's \d+ was needed/],
    [
      "a validation's rhythm",
      ["--validate-every", "1"],
      2,
      /dpo: --validate-every is given without --validation/,
    ],
    [
      "another tokenizer",
      ["--reference", path.resolve("models/dictionary")],
      2,
      /--reference: the tokenizer of .*dictionary \(\d+ tokens\) is not that of/,
    ],
  ];
  it.each(refused)("refuses %s", async (_, more, wanted, message) => {
    const { args, pairs } = newRun();
    const { code, stderr } = await mixwright(args("dpo", pairs, "--steps", "1", ...more));
    const lines = stderr.trimEnd().split("\n");
    expect(lines.at(-1)).toMatch(message);
    expect(code).toBe(wanted);
  });

  it("refuses rows of another kind, by line, and an unknown key of a config file", async () => {
    const { args, dir, labelled, pairs } = newRun();
    const rows = await mixwright(args("dpo", labelled, "--steps", "1"));
    expect(rows.stderr).toMatch(/labelled.jsonl:1: .*chosen/);
    expect(rows.code).toBe(1);
    const config = path.join(dir, "run.yaml");
    writeFileSync(config, "steps: 1\nlabel-smoothing-factor: 0.1\n");
    const key = await mixwright(args("dpo", pairs, "--config", config));
    expect(key.stderr).toMatch(/unknown key "label-smoothing-factor", is it label-smoothing\?/);
    expect(key.code).toBe(2);
    writeFileSync(config, "steps: 1\nloss: robust\nlabelSmoothing: 0.1\n");
    await works(args("dpo", pairs, "--config", config));
  });
});

describe("kto", () => {
  it("trains an adapter on labelled rows, and goes on with more steps", async () => {
    const { args, out, labelled, pairs } = newRun();
    const settings = ["--adapter", "lora", "--lr", "1e-3", "--batch-size", "6", "--schedule", "constant"];
    const first = await works(
      args("kto", labelled, "--steps", "4", ...settings, "--validation", pairs, "--json"),
    );
    const lines = objectsIn(first);
    expect(lines[0]).toMatchObject({ loss: 0.5, "kl/z": 0 });
    expect(lines.at(-1)!.loss).toBeLessThan(0.5);
    expect(lines.at(-1)!.validation).toMatchObject({ validation: expect.any(Number) });
    const more = await works(["kto", "--resume", "--out", out, "--steps", "6", "--threads", "2", "--json"]);
    expect(objectsIn(more).map(({ step }) => step)).toEqual([5, 6]);
    expect(chartsIn(out)).toContain("KL estimate");
  });

  it("refuses a row without a label", async () => {
    const { args, dir } = newRun();
    const data = path.join(dir, "bad.jsonl");
    writeFileSync(data, '{"prompt":"a","completion":" b","label":"yes"}\n');
    const { code, stderr } = await mixwright(args("kto", data, "--steps", "1"));
    expect(stderr).toMatch(/bad.jsonl:1: label is "yes", true or false was needed/);
    expect(code).toBe(1);
  });
});
