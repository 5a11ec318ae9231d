import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { type CliOptions, mixwright, objectsIn, tinyModel, works } from "../support/cli.ts";
import { contentOf } from "../support/model_folder.ts";
import { tempDir } from "../support/temp_dir.ts";
import { writeTexts } from "../support/texts.ts";

const model = tinyModel("llama");

function newRun(more: readonly string[] = []) {
  const dir = tempDir();
  const data = writeTexts(path.join(dir, "data.jsonl"));
  const args = (out: string): string[] => [
    "pretrain",
    "--model",
    model,
    "--data",
    data,
    "--out",
    path.join(dir, out),
    "--threads",
    "2",
    ...more,
  ];
  return { dir, args };
}

const metricsOf = (out: string) => objectsIn(readFileSync(path.join(out, "metrics.jsonl"), "utf8"));
const stepsOf = (lines: readonly Record<string, unknown>[]) => lines.map(({ step }) => step);
const upTo = (steps: number) => Array.from({ length: steps }, (_, i) => i + 1);

/** Sends a signal when the line of a step has come. */
const signalAt = (step: number, signal: NodeJS.Signals): CliOptions => ({
  onLine: (line, child) => {
    if (line.startsWith(`{"step":${step},`)) child.kill(signal);
  },
});

describe("pretrain", () => {
  it("writes a model folder, metrics, checkpoints and what it was asked for", async () => {
    const { dir, args } = newRun(["--steps", "6", "--batch-tokens", "128", "--checkpoint-every", "2"]);
    const validation = writeTexts(path.join(dir, "validation.jsonl"), 5);
    const stdout = await works([
      ...args("out"),
      "--json",
      "--validation",
      validation,
      "--validate-every",
      "3",
    ]);
    const out = path.join(dir, "out");
    const lines = objectsIn(stdout);
    expect(stepsOf(lines)).toEqual(upTo(6));
    for (const m of lines)
      expect(m).toMatchObject({ loss: expect.any(Number), tokensPerSecond: expect.any(Number) });
    expect(lines.filter(({ validation }) => validation).map(({ step }) => step)).toEqual([3, 6]);
    expect(metricsOf(out)).toEqual(lines);
    expect(readdirSync(path.join(out, "checkpoints"))).toEqual(["step-00000004", "step-00000006"]);
    for (const file of ["model.safetensors", "config.json", "tokenizer.json", "run.json"])
      expect(existsSync(path.join(out, file))).toBe(true);
    expect(JSON.parse(await works(["info", out, "--json"]))).toMatchObject({
      modelType: "llama",
      dtypes: ["F32"],
    });
  });

  it("without --json prints lines for people", async () => {
    const { args } = newRun(["--steps", "3", "--batch-tokens", "64"]);
    const stdout = await works(args("out"));
    expect(stdout).toMatch(/^step 1\/3 · loss \d+\.\d{4} · lr .* tokens\/s\nstep 3\/3 .*\nsaved in .*out\n$/);
  });

  it("starts from random weights where there are none, by the seed", async () => {
    const { dir, args } = newRun([
      "--steps",
      "1",
      "--batch-tokens",
      "64",
      "--lr",
      "0",
      "--min-lr",
      "0",
      "--json",
    ]);
    const bare = path.join(dir, "bare");
    mkdirSync(bare);
    for (const file of ["config.json", "tokenizer.json", "tokenizer_config.json"])
      copyFileSync(path.join(model, file), path.join(bare, file));
    const weights: Buffer[] = [];
    for (const [out, seed] of [
      ["a", "1"],
      ["b", "1"],
      ["c", "2"],
    ] as const) {
      const { code, stderr } = await mixwright([...args(out), "--model", bare, "--seed", seed]);
      expect(stderr).toContain(`${bare} has no weights: they start at random, by seed ${seed}`);
      expect(code).toBe(0);
      weights.push(readFileSync(path.join(dir, out, "model.safetensors")));
    }
    expect(weights[0]!.equals(weights[1]!)).toBe(true);
    expect(weights[0]!.equals(weights[2]!)).toBe(false);
  });

  it("balances experts by biases of the routers, and says who reads them", async () => {
    const { dir, args } = newRun(["--steps", "1", "--batch-tokens", "64", "--router-bias-rate", "0.25"]);
    const { code, stderr } = await mixwright([...args("out"), "--model", tinyModel("mixtral")]);
    expect(code).toBe(0);
    expect(stderr).toContain("transformers' mixtral has none and would choose others");
    const { tensors } = await contentOf(path.join(dir, "out"));
    const biases = Object.entries(tensors).filter(([name]) => name.endsWith(".gate.e_score_correction_bias"));
    expect(biases.length).toBeGreaterThan(0);
    for (const [, { bytes }] of biases) {
      const values = [...new Float32Array(bytes.slice().buffer)];
      expect(values.some((bias) => bias !== 0)).toBe(true);
      for (const bias of values) expect([0, 0.25]).toContain(Math.abs(bias));
    }
  });

  it("stopped by SIGINT, then by SIGTERM, ends with the same bits once resumed", async () => {
    const { dir, args } = newRun(["--steps", "120", "--batch-tokens", "128", "--checkpoint-every", "50"]);
    await works(args("whole"));
    const out = path.join(dir, "parts");
    let done = 0;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const goOn = ["pretrain", "--resume", "--out", out];
      const command = done === 0 ? args("parts") : goOn;
      const stopped = await mixwright([...command, "--json"], signalAt(done + 20, signal));
      expect(stopped.stderr).toContain(`mixwright ${goOn.join(" ")}`);
      expect(stopped.code).toBe(130);
      const lines = objectsIn(stopped.stdout);
      expect(lines[0]!.step).toBe(done + 1);
      done = Number(/Stopped after step (\d+) of 120/.exec(stopped.stderr)?.[1]);
      expect(lines.at(-1)!.step).toBe(done);
      expect(done).toBeLessThan(120);
      expect(existsSync(path.join(out, "model.safetensors"))).toBe(false);
    }
    await works([...args("parts"), "--resume"]);
    expect(stepsOf(metricsOf(out))).toEqual(upTo(120));
    const [whole, parts] = ["whole", "parts"].map((run) =>
      readFileSync(path.join(dir, run, "model.safetensors")),
    );
    expect(parts!.equals(whole!)).toBe(true);
  });

  it("killed and resumed, cuts the metrics after its checkpoint", async () => {
    const { dir, args } = newRun(["--steps", "40", "--batch-tokens", "512", "--checkpoint-every", "8"]);
    const killed = await mixwright([...args("out"), "--json"], signalAt(21, "SIGKILL"));
    expect(killed.signal).toBe("SIGKILL");
    const out = path.join(dir, "out");
    const before = stepsOf(metricsOf(out)).length;
    await works([...args("out"), "--resume"]);
    expect(before).toBeGreaterThan(16);
    expect(stepsOf(metricsOf(out))).toEqual(upTo(40));
  });

  it("dies at once from the second Ctrl-C", async () => {
    const { args } = newRun(["--steps", "5", "--batch-tokens", "20000"]);
    const { signal } = await mixwright(args("out"), {
      onLine: (line, child) => {
        if (line.startsWith("step 1") || line.startsWith("Stopping")) child.kill("SIGINT");
      },
    });
    expect(signal).toBe("SIGINT");
  });
});

describe("a run's folder", () => {
  it("takes a second run only to go on with it, with the same settings", async () => {
    const { dir, args } = newRun(["--steps", "2", "--batch-tokens", "64"]);
    await works(args("out"));
    const out = path.join(dir, "out");
    const again = await mixwright(args("out"));
    expect(again.stderr).toBe(
      `mixwright: pretrain: ${out} holds an earlier run. Go on with it by --resume, or take another folder\n`,
    );
    expect(again.code).toBe(1);
    const other = await mixwright([...args("out"), "--resume", "--lr", "0.1"]);
    expect(other.stderr).toContain(`lr is 0.1, the run in ${out} was started with 0.0003`);
    expect(other.code).toBe(1);
    const weights = readFileSync(path.join(out, "model.safetensors"));
    await works([...args("out"), "--resume"]);
    expect(readFileSync(path.join(out, "model.safetensors")).equals(weights)).toBe(true);
  });

  it("goes on with more steps than it had, not with fewer than it did", async () => {
    const { dir, args } = newRun(["--batch-tokens", "64", "--schedule", "constant", "--warmup-steps", "0"]);
    await works([...args("whole"), "--steps", "5"]);
    await works([...args("out"), "--steps", "2"]);
    const out = path.join(dir, "out");
    const goOn = ["pretrain", "--resume", "--out", out];
    await works([...goOn, "--steps", "5"]);
    expect(stepsOf(metricsOf(out))).toEqual(upTo(5));
    const weights = (folder: string) => readFileSync(path.join(dir, folder, "model.safetensors"));
    expect(weights("out").equals(weights("whole"))).toBe(true);
    const fewer = await mixwright([...goOn, "--steps", "4"]);
    expect(fewer.stderr).toBe(
      `mixwright: pretrain: steps is 4, the run in ${out} has done 5 already. Give as many, or more\n`,
    );
    expect(fewer.code).toBe(1);
    await works(goOn); // the record still says 5
  });

  it("that holds other things is refused; one whose run never began is not", async () => {
    const { dir, args } = newRun(["--steps", "1", "--batch-tokens", "64"]);
    const { code, stderr } = await mixwright(args("."));
    expect(stderr).toMatch(/holds 1 files already \(data.jsonl\), an empty folder or none was needed/);
    expect(code).toBe(1);
    const missing = await mixwright([...args("out"), "--data", path.join(dir, "none.jsonl")]);
    expect(missing.stderr).toMatch(/^mixwright: \S+none.jsonl: there is no such file or folder\n$/);
    expect(missing.code).toBe(1);
    await works(args("out"));
  });
});
