import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError, FormatError } from "../../lib/core/errors.ts";
import { disposeAll, valueAndGrad } from "../../lib/core/tape.ts";
import { loadModel } from "../../lib/models/load.ts";
import type { Model } from "../../lib/models/model.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { readExamples } from "../../lib/text/examples.ts";
import type { SftRow } from "../../lib/text/sft_row.ts";
import { IGNORED, packBatch, type TokenBatch } from "../../lib/text/token_batch.ts";
import { loadTokenizer, type Tokenizer } from "../../lib/text/tokenizer.ts";
import { languageModelLoss } from "../../lib/train/loss.ts";
import type { StepMetrics } from "../../lib/train/metrics.ts";
import { type SftOptions, trainSft } from "../../lib/train/sft.ts";
import { oracleFolders } from "../support/golden.ts";
import { readJson } from "../support/oracle.ts";
import { sharedPath } from "../support/shared_data.ts";
import { tempDir } from "../support/temp_dir.ts";
import { testDevice } from "../support/test_device.ts";

const folder = path.join(oracleFolders()[1]!, "model");
const rows: SftRow[] = Array.from({ length: 12 }, (_, i) => ({
  prompt: `What is ${i} and ${i + 1}?`,
  completion: ` It is ${2 * i + 1}.`,
}));

let dev: Device;
let tokenizer: Tokenizer;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2 });
  tokenizer = await loadTokenizer(folder);
});
afterAll(() => dev.close());

type Rest = Partial<SftOptions> & Pick<SftOptions, "data">;

async function train(model: Model, options: Rest): Promise<StepMetrics[]> {
  const all: StepMetrics[] = [];
  const optimizer = adamw({ lr: 0.01, weightDecay: 0 });
  for await (const m of trainSft({ model, tokenizer, optimizer, steps: 3, ...options })) all.push(m);
  return all;
}

async function trainFresh(options: Rest): Promise<{ metrics: StepMetrics[]; params: number[][] }> {
  using model = await loadModel(folder, { device: dev });
  const metrics = await train(model, options);
  const params = await Promise.all(
    Object.values(model.params).map(async (tensor) => Array.from(await tensor.data())),
  );
  return { metrics, params };
}

const losses = (metrics: StepMetrics[]): number[] => metrics.map(({ loss }) => loss);

test("the loss falls, on completions, conversations and texts, with router losses", async () => {
  const chats = rows.map(({ prompt, completion }) => ({
    messages: [
      { role: "user", content: prompt },
      { role: "assistant", content: completion },
    ],
  }));
  const texts = rows.map(({ prompt, completion }) => ({ text: `${prompt}${completion}` }));
  for (const options of [
    { data: rows },
    { data: chats, assistantOnly: true, auxLossCoef: 0.01, zLossCoef: 0.001 },
    { data: texts, batchTokens: 100 },
  ]) {
    const { metrics } = await trainFresh({ ...options, steps: 20 });
    expect(metrics.length).toBe(20);
    const late = losses(metrics.slice(-3)).reduce((a, b) => a + b) / 3;
    expect(late).toBeLessThan(metrics[0]!.loss / 2);
    expect(metrics[0]!.auxLoss !== undefined).toBe("auxLossCoef" in options);
  }
});

test("prompt tokens carry no loss", async () => {
  using model = await loadModel(folder, { device: dev });
  const few = rows.slice(0, 2);
  const prompts = few.map(({ prompt }) => tokenizer.encode(prompt as string));
  const completions = few.map(({ completion }) =>
    tokenizer.encode(completion as string, { addSpecialTokens: false }),
  );
  const batch = packBatch(prompts.map((ids, i) => [...ids, ...completions[i]!, tokenizer.eosTokenId!]));
  const gradNorm = async (b: TokenBatch) => {
    const { value, grads } = valueAndGrad(model.params, () => languageModelLoss(model, b));
    const all = await Promise.all(Object.values(grads).map(async (g) => Array.from(await g.data())));
    disposeAll(value, grads);
    return Math.sqrt(all.flat().reduce((sum, g) => sum + g * g, 0));
  };
  const first = async (options: Rest) =>
    (await train(model, { ...options, steps: 1, optimizer: adamw({ lr: 0 }) }))[0]!;
  const all = await gradNorm(batch);
  prompts.forEach((ids, d) => {
    batch.targets.fill(IGNORED, batch.offsets[d], batch.offsets[d]! + ids.length - 1);
  });
  const completionsOnly = await gradNorm(batch);
  expect(Math.abs(completionsOnly / all - 1)).toBeGreaterThan(0.01);
  expect((await first({ data: few })).gradNorm / completionsOnly).toBeCloseTo(1, 4);
  expect((await first({ data: few, completionOnly: false })).gradNorm / all).toBeCloseTo(1, 4);
  expect((await first({ data: [batch] })).gradNorm / completionsOnly).toBeCloseTo(1, 4);
});

test("rows, a file of them, and examples read before train alike", async () => {
  const file = path.join(tempDir(), "rows.jsonl");
  writeFileSync(file, rows.map((row) => JSON.stringify(row)).join("\n"));
  const read = await readExamples(rows, { tokenizer, maxLength: 256 });
  const want = await trainFresh({ data: rows, batchTokens: 120, seed: 5 });
  for (const data of [file, read])
    expect(losses((await trainFresh({ data, batchTokens: 120, seed: 5 })).metrics)).toEqual(
      losses(want.metrics),
    );
  expect(losses((await trainFresh({ data: rows, batchTokens: 120, seed: 6 })).metrics)).not.toEqual(
    losses(want.metrics),
  );
});

test("a resumed run gives the same bits", async () => {
  const options = { data: rows, batchTokens: 60, steps: 9, seed: 4 };
  const straight = await trainFresh(options);
  const dir = tempDir();
  const stop = new AbortController();
  using model = await loadModel(folder, { device: dev });
  const optimizer = adamw({ lr: 0.01, weightDecay: 0 });
  for await (const m of trainSft({
    model,
    tokenizer,
    optimizer,
    ...options,
    checkpoint: { dir },
    signal: stop.signal,
  }))
    if (m.step === 4) stop.abort();
  const rest = await trainFresh({ ...options, checkpoint: { dir, resume: true } });
  expect(rest.metrics[0]!.step).toBeGreaterThan(4);
  expect(losses(rest.metrics)).toEqual(losses(straight.metrics.slice(-rest.metrics.length)));
  expect(rest.params).toEqual(straight.params);
  await expect(
    trainFresh({ ...options, data: rows.slice(1), checkpoint: { dir, resume: true } }),
  ).rejects.toThrow("belongs to a run with examples 12, this one has 11");
});

test("rows that are cut or dropped are told of; what can't be trained on is refused", async () => {
  using model = await loadModel(folder, { device: dev });
  const warning = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  const long = { prompt: "What? ".repeat(20), completion: "That." };
  await train(model, { data: [...rows, long], maxLength: 24, steps: 1 });
  expect(warning).toHaveBeenCalledWith(
    "trainSft: of 13 rows, 3 cut to 24 tokens (the first is row 10), 1 dropped (the first is row 13: nothing to learn in the first 24 tokens)",
  );
  warning.mockRestore();
  const refused = (options: Rest, kind: new (m: string) => Error, message: string) =>
    expect(train(model, options).catch((e: unknown) => e)).resolves.toSatisfy(
      (e) => e instanceof kind && (e as Error).message.includes(message),
    );
  await refused({ data: [] }, ConfigError, "none of 0 rows is left to train on");
  await refused(
    { data: [long], maxLength: 24 },
    ConfigError,
    "none of 1 rows is left to train on (row 1: nothing",
  );
  await refused({ data: [{ txt: "x" }] }, FormatError, "row 1: has txt");
  await refused({ data: rows, maxLength: 200, batchTokens: 12 }, ConfigError, "batchTokens is 12");
  const withoutTokenizer = trainSft({ model, data: rows, optimizer: adamw({ lr: 0.1 }), steps: 1 });
  await expect(withoutTokenizer.next()).rejects.toThrow("data are rows, a tokenizer was needed");
});

const fixture = sharedPath("data/fixtures/trl_stories260K.json");
const stories = sharedPath("data/text/en/tinystories_937.jsonl.gz");
const pretrained = sharedPath("data/models/stories260K");

describe.skipIf(!fixture || !stories || !pretrained)("TRL's runs on stories260K", () => {
  interface Run {
    loss: number;
    grad_norm: number;
  }
  /** Every step sees all eight examples; TRL's last row is a summary. */
  const follow = async (name: string, data: SftRow[], maxLength: number) => {
    const want = readJson<{ runs: Record<string, Run[]> }>(fixture!).runs[name]!.slice(0, -1);
    using model = await loadModel(pretrained!, { device: dev });
    const metrics = await train(model, {
      tokenizer: await loadTokenizer(pretrained!),
      data,
      maxLength,
      steps: want.length,
      optimizer: adamw({ lr: 1e-4, weightDecay: 0 }),
    });
    metrics.forEach(({ loss, gradNorm }, k) => {
      expect(loss, `loss ${k}`).toBeCloseTo(want[k]!.loss, 5);
      expect(gradNorm / want[k]!.grad_norm, `gradient norm ${k}`).toBeCloseTo(1, 4);
    });
  };

  test("completions only", async () => {
    const { pairs } = readJson<{ pairs: { prompt: string; chosen: string }[] }>(fixture!);
    const data = pairs.map(({ prompt, chosen }) => ({ prompt, completion: chosen }));
    await follow("sft_prompt_completion", data, 512);
  });

  test("whole stories, cut at 256 tokens", async () => {
    const lines = gunzipSync(readFileSync(stories!)).toString().split("\n").slice(0, 8);
    const warning = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    await follow(
      "sft",
      lines.map((line) => JSON.parse(line) as SftRow),
      256,
    );
    expect(warning).toHaveBeenCalledWith("trainSft: of 8 rows, 8 cut to 256 tokens (the first is row 1)");
    warning.mockRestore();
  });
});
