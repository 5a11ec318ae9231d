import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { mixwright, tinyModel, works } from "../support/cli.ts";
import { tempDir } from "../support/temp_dir.ts";
import { writeTexts } from "../support/texts.ts";

const model = tinyModel("llama");

describe.concurrent("program", () => {
  it("lists its commands and shows its version", async () => {
    const help = await works(["--help"]);
    for (const name of "tokenize pretrain sft reward dpo kto ppo grpo eval generate chat merge info doctor".split(
      " ",
    ))
      expect(help).toMatch(new RegExp(`^  ${name} `, "m"));
    expect(await works(["--version"])).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(await works(["help", "pretrain"])).toContain("--batch-tokens <number>");
  });

  it("answers a wrong command with the nearest, and exit code 2", async () => {
    const { code, stderr, stdout } = await mixwright(["pretrian"]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toBe("mixwright: unknown command 'pretrian' (Did you mean pretrain?)\n");
    expect((await mixwright([])).code).toBe(2);
  });
});

describe.concurrent("flags", () => {
  const refused: [why: string, args: string[], message: RegExp][] = [
    ["unknown", ["--step", "3"], /unknown option '--step' \(Did you mean --steps\?\)/],
    ["missing", ["--model", "m"], /pretrain: --data, --out, --steps needed and not given/],
    ["no number", ["--batch-tokens", "many"], /--batch-tokens is "many", a whole number was needed/],
    ["no whole number", ["--batch-tokens", "1.5"], /--batch-tokens is 1.5, a whole number was needed/],
    ["too small", ["--threads", "0"], /--threads is 0, at least 1 was needed/],
    [
      "not one of",
      ["--schedule", "step"],
      /--schedule is "step", one of constant, linear, cosine, rewarm was needed/,
    ],
    ["contradicting", ["--min-lr", "1"], /--min-lr is 1, at most the lr of 0.0003 was needed/],
  ];
  it.each(refused)("refuses what is %s", async (why, args, message) => {
    const whole = ["--model", model, "--data", "d.ds", "--out", "/tmp/mixwright-none", "--steps", "1"];
    const given = why === "missing" ? args : [...whole, ...args];
    const { code, stderr, stdout } = await mixwright(["pretrain", ...given]);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });
});

describe("config file", () => {
  it("gives settings in kebab or camel case, and flags win", async () => {
    const dir = tempDir();
    const data = writeTexts(path.join(dir, "d.jsonl"));
    const config = path.join(dir, "run.yaml");
    writeFileSync(
      config,
      `model: ${model}\ndata: ${data}\nbatch-tokens: 64\ncheckpointEvery: 7\nsteps: 5\nlr: 1e-2\n`,
    );
    await works(["pretrain", "--config", config, "--out", path.join(dir, "out"), "--steps", "2"]);
    const { settings } = JSON.parse(readFileSync(path.join(dir, "out/run.json"), "utf8"));
    expect(settings).toMatchObject({
      model,
      batchTokens: 64,
      checkpointEvery: 7,
      steps: 2,
      lr: 0.01,
      seed: 0,
    });
  });

  const refused: [why: string, yaml: string, message: RegExp][] = [
    ["an unknown key", "batch-token: 64", /unknown key "batch-token", is it batch-tokens\?/],
    ["a word of others", "learning-rate: 1", /unknown key "learning-rate", is it lr\?/],
    ["a slip in a word of others", "lerning-rate: 1", /unknown key "lerning-rate", is it lr\?/],
    ["a key like no other", "xylophone: 1", /unknown key "xylophone"\. Known are model/],
    ["a wrong type", 'batchTokens: "64"', /run.yaml: batch-tokens is "64", a whole number was needed/],
    ["a number for a text", "model: 3", /run.yaml: model is 3, a text was needed/],
    ["a key that stands twice", "batch-tokens: 1\nbatchTokens: 2", /batch-tokens stands twice/],
    ["no YAML", "a: [", /run.yaml: .*line 1/],
    ["a list", "- a", /keys with values were needed/],
  ];
  it.each(refused)("with %s is refused", async (_, yaml, message) => {
    const config = path.join(tempDir(), "run.yaml");
    writeFileSync(config, yaml);
    const whole = yaml.startsWith("model") ? [] : ["--model", model];
    const rest = ["--data", "d.ds", "--out", "/tmp/mixwright-none", "--steps", "1"];
    const { code, stderr } = await mixwright(["pretrain", "--config", config, ...whole, ...rest]);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  it("that is missing is named", async () => {
    const { code, stderr } = await mixwright(["doctor", "--config", "/nowhere/run.yaml"]);
    expect(stderr).toMatch(/--config \/nowhere\/run.yaml: ENOENT/);
    expect(code).toBe(2);
  });
});
