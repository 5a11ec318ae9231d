import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import * as mix from "../../lib/index.ts";
import { mixwright, objectsIn, tinyModel, works } from "../support/cli.ts";
import { writeJsonl, writeTexts } from "../support/texts.ts";

const model = tinyModel("llama");
const dir = mkdtempSync(path.join(tmpdir(), "mixwright-optimizers-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const data = writeTexts(path.join(dir, "d.jsonl"), 12);
const shared = { batchTokens: 256, seed: 3, steps: 4 };

/** Loss and norm of the gradient of each step, from the program. */
async function lossesOf(command: string, file: string, out: string, ...flags: string[]): Promise<number[][]> {
  const { seed, steps } = shared;
  const common = ["--model", model, "--data", file, "--out", path.join(dir, out), "--threads", "1", "--json"];
  const run = ["--seed", String(seed), "--steps", String(steps), "--schedule", "constant"];
  const lines = await works([command, ...common, ...run, "--warmup-steps", "0", "--lr", "0.002", ...flags]);
  return objectsIn(lines).map(({ loss, gradNorm }) => [loss as number, gradNorm as number]);
}

async function lossesBy(optimizer: mix.Optimizer): Promise<number[][]> {
  using dev = await mix.device("cpu", { threads: 1 });
  const on = await mix.loadModel(model, { device: dev });
  const tokenizer = await mix.loadTokenizer(model);
  const losses: number[][] = [];
  for await (const { loss, gradNorm } of mix.pretrain({ ...shared, model: on, tokenizer, data, optimizer }))
    losses.push([loss, gradNorm]);
  return losses;
}

describe("pretrain by another optimizer is the library's", () => {
  const lr = 0.002;
  const betas = [0.9, 0.95] as const;
  const matrices = { decay: (_: string, shape: readonly number[]) => shape.length > 1 };
  const layers = {
    decay: (name: string, shape: readonly number[]) => shape.length > 1 && name.includes(".layers."),
  };
  const cases: [flags: string, optimizer: mix.Optimizer, clip?: number][] = [
    ["", mix.adamw({ lr, betas, weightDecay: 0.1, ...matrices })],
    ["--optimizer-states 8bit", mix.adamw({ lr, betas, weightDecay: 0.1, states: "8bit", ...matrices })],
    ["--optimizer adam", mix.adam({ lr, betas, weightDecay: 0 })],
    ["--optimizer sgd --momentum 0.8 --clip 3", mix.sgd({ lr, momentum: 0.8 }), 3],
    [
      "--optimizer lion --weight-decay 0.5 --decay-on all",
      mix.lion({ lr, weightDecay: 0.5, decay: () => true }),
    ],
    [
      "--optimizer muon --decay-on layers --weight-decay 0.5",
      mix.muon({ lr, weightDecay: 0.5, adamw: { betas }, ...layers }),
    ],
    [
      "--optimizer muon --momentum 0 --optimizer-states 8bit",
      mix.muon({
        lr,
        momentum: 0,
        nesterov: false,
        weightDecay: 0.1,
        adamw: { betas, states: "8bit" },
        ...matrices,
      }),
    ],
  ];
  const seen = new Set<string>();
  it.each(cases)("%s", async (flags, optimizer, clip = 1) => {
    const words = flags.split(" ").filter(Boolean);
    const out = `out ${flags}`.replaceAll(/\W+/g, "_");
    const got = await lossesOf("pretrain", data, out, "--batch-tokens", "256", ...words);
    expect(got).toEqual(await lossesBy(mix.chain(mix.clipByGlobalNorm(clip), optimizer)));
    seen.add(JSON.stringify(got));
  });
  it("and no two of them are the same", () => expect(seen.size).toBe(cases.length));
});

it("a config file chooses them too, and a resumed run goes on by its optimizer", async () => {
  const config = path.join(dir, "run.yaml");
  writeFileSync(config, "optimizer: lion\ndecay-on: all\nweightDecay: 0.3\nbatch-tokens: 256\n");
  const whole = await lossesOf("pretrain", data, "whole", "--config", config);
  const begun = await lossesOf("pretrain", data, "parts", "--config", config, "--steps", "2");
  const out = path.join(dir, "parts");
  const rest = objectsIn(await works(["pretrain", "--resume", "--out", out, "--steps", "4", "--json"]));
  expect([...begun, ...rest.map(({ loss, gradNorm }) => [loss, gradNorm])]).toEqual(whole);
  const other = await mixwright(["pretrain", "--resume", "--out", out, "--steps", "5", "--optimizer", "sgd"]);
  expect(other.stderr).toMatch(/optimizer is "?sgd"?, the run in \S+ /);
  expect(other.code).toBe(1);
});

it("LoRA+ lets B learn faster than A", async () => {
  const rows = writeJsonl(path.join(dir, "rows.jsonl"), [
    { prompt: "the quick", completion: " brown fox jumps" },
  ]);
  const lora = ["--adapter", "lora", "--rank", "4"];
  const plain = await lossesOf("sft", rows, "plain", ...lora);
  const same = await lossesOf("sft", rows, "same", ...lora, "--lora-plus-ratio", "1");
  const fast = await lossesOf("sft", rows, "fast", ...lora, "--lora-plus-ratio", "16");
  expect(same).toEqual(plain);
  expect(fast[0]).toEqual(plain[0]);
  // At the start B is 0: it alone learns, 16 times as far here.
  const fall = (losses: number[][]) => losses[0]![0]! - losses[1]![0]!;
  expect(fall(fast)).toBeGreaterThan(8 * fall(plain));
  expect(fall(plain)).toBeGreaterThan(0);
});

describe("what doesn't go together is refused", () => {
  const refused: [command: string, flags: string, message: RegExp][] = [
    [
      "pretrain",
      "--optimizer lion --optimizer-states 8bit",
      /--optimizer-states is a setting that lion doesn't have\. Give --optimizer adamw or adam or muon with it/,
    ],
    [
      "pretrain",
      "--momentum 0.9",
      /--momentum is a setting that adamw doesn't have\. Give --optimizer sgd or muon/,
    ],
    ["pretrain", "--optimizer sgd --momentum 1", /--momentum is 1, less than 1 was needed/],
    ["pretrain", "--optimizer lamb", /--optimizer is "lamb", one of adamw, adam, sgd, lion, muon was needed/],
    ["pretrain", "--lora-plus-ratio 16", /unknown option '--lora-plus-ratio'/],
    [
      "sft",
      "--lora-plus-ratio 16",
      /--lora-plus-ratio is a setting of adapters\. Give --adapter lora or dora/,
    ],
    ["sft", "--adapter lora --lora-plus-ratio 0", /--lora-plus-ratio is 0, more than 0 was needed/],
  ];
  it.each(refused)("%s %s", async (command, flags, message) => {
    const args = ["--model", model, "--data", data, "--out", path.join(dir, "none"), "--steps", "1"];
    const { code, stderr } = await mixwright([command, ...args, ...flags.split(" ")]);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(code).toBe(2);
  });
});

it("--help shows the choices", async () => {
  const help = await works(["sft", "--help"]);
  for (const flag of [
    "--optimizer <adamw|adam|sgd|lion|muon>",
    "--optimizer-states <f32|8bit>",
    "--momentum <number>",
    "--decay-on <layers|matrices|all>",
    "--lora-plus-ratio <number>",
  ])
    expect(help).toContain(flag);
});
