import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attachLora } from "../../lib/adapters/attach.ts";
import { mergeAdapter } from "../../lib/adapters/merge.ts";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError, FormatError } from "../../lib/core/errors.ts";
import type { Model } from "../../lib/models/model.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { chain } from "../../lib/optim/chain.ts";
import { clipByGlobalNorm } from "../../lib/optim/clip.ts";
import { lion } from "../../lib/optim/lion.ts";
import type { Optimizer } from "../../lib/optim/optimizer.ts";
import { sgd } from "../../lib/optim/sgd.ts";
import { checkpointSteps } from "../../lib/train/checkpoint.ts";
import { languageModelLoss, logProbs } from "../../lib/train/loss.ts";
import { type PretrainOptions, pretrain } from "../../lib/train/pretrain.ts";
import { trainSft } from "../../lib/train/sft.ts";
import { tempDir } from "../support/temp_dir.ts";
import { tinyData, tinyMoe, tinyOptimizer } from "../support/tiny_run.ts";

let dev: Device;
beforeAll(async () => {
  dev = await device("cpu", { threads: 2 });
});
afterAll(() => {
  expect(dev.stats().live).toBe(0);
  dev.close();
});

/** Runs to the end, and says which steps were done. */
async function stepsOf(model: Model, options: Partial<PretrainOptions> = {}): Promise<number[]> {
  const steps: number[] = [];
  const run = pretrain({ model, data: tinyData(), optimizer: tinyOptimizer(), steps: 2, ...options });
  for await (const m of run) steps.push(m.step);
  return steps;
}

const bits = async (model: Model): Promise<Uint8Array[]> =>
  Promise.all(Object.values(model.params).map((tensor) => tensor.bytesData()));

describe("parameters that the model doesn't use", () => {
  test.each([false, true])("an adapter that is off, or merged; recompute %s", async (recompute) => {
    using model = tinyMoe(dev);
    using adapter = attachLora(model, { targets: ["q_proj", "w1"], rank: 2 });
    const { params } = adapter;
    expect(await stepsOf(model, { params, recompute })).toEqual([1, 2]);
    const [first] = Object.keys(params);
    const count = Object.keys(params).length;
    adapter.off();
    const before = await Promise.all(Object.values(params).map((tensor) => tensor.data()));
    await expect(stepsOf(model, { params, recompute })).rejects.toThrow(
      `train: the model doesn't use ${count} of ${count} params, first ${first}: no gradient reaches them. Is the adapter on`,
    );
    expect(await Promise.all(Object.values(params).map((tensor) => tensor.data()))).toEqual(before);
    adapter.on();
    await mergeAdapter(adapter);
    await expect(stepsOf(model, { params, recompute })).rejects.toThrow(ConfigError);
    adapter.unmerge();
    expect(await stepsOf(model, { params, recompute })).toEqual([1, 2]);
  });

  test("a stray tensor, the weight that an adapter replaces, another model's", async () => {
    using model = tinyMoe(dev);
    using other = tinyMoe(dev);
    using stray = dev.full([3]);
    const missed = (params: PretrainOptions["params"]) => expect(stepsOf(model, { params })).rejects;
    await missed({ ...model.params, stray }).toThrow("doesn't use 1 of");
    await missed(other.params).toThrow(/doesn't use (\d+) of \1 params/);
    using adapter = attachLora(model, { modulesToSave: ["lm_head"] });
    await missed({ ...adapter.params, ...model.params }).toThrow("doesn't use 1 of");
  });

  test("experts without a token, in a run of several parts, are used all the same", async () => {
    using model = tinyMoe(dev);
    const [batch] = tinyData();
    const one = { ...batch!, tokens: batch!.tokens.slice(0, 2), targets: batch!.targets.slice(0, 2) };
    const data = [{ ...one, offsets: Int32Array.of(0, 2) }, batch!];
    expect(await stepsOf(model, { data, accumulationSteps: 2 })).toEqual([1, 2]);
  });
});

describe("options", () => {
  let model: Model;
  beforeAll(() => {
    model = tinyMoe(dev);
  });
  afterAll(() => model.dispose());

  test.each([
    [{ batchToken: 3 }, 'pretrain: unknown option "batchToken", is it batchTokens?'],
    [{ checkpoint: { dir: "x", evry: 1 } }, 'pretrain, checkpoint: unknown option "evry", is it every?'],
    [{ validation: { every: 1, set: {} } }, 'pretrain, validation: unknown option "set", is it sets?'],
    [{ validation: { every: -1, sets: {} } }, "every is -1, a whole number from 0 was needed"],
    [{ checkpoint: { dir: "x", keep: 0 } }, "keep is 0, a whole number from 1 was needed"],
    [{ checkpoint: { dir: "x", every: 0.5 } }, "every is 0.5, a whole number from 0 was needed"],
    [{ steps: 1.5 }, "steps is 1.5, a whole number from 1 was needed"],
    [{ data: 5 }, "data is number, batches, a source of them or files were needed"],
    [{ data: undefined }, "data is undefined"],
    [{ data: ["a.txt", 5] }, "data[0] is no batch"],
  ])("%o", async (options, message) => {
    const run = stepsOf(model, options as Partial<PretrainOptions>);
    await expect(run).rejects.toThrow(message);
    await expect(run).rejects.toBeInstanceOf(ConfigError);
  });

  test("of trainSft, losses and optimizers", async () => {
    const [batch] = tinyData();
    const odd = { betas: [0.9, 0.99], weigthDecay: 1 } as object;
    const sft = trainSft({ model, data: tinyData(), optimizer: adamw(), steps: 1, ...odd });
    await expect(sft.next()).rejects.toThrow('trainSft: unknown option "betas"');
    expect(() => languageModelLoss(model, batch!, odd)).toThrow('languageModelLoss: unknown option "betas"');
    expect(() => logProbs(model, batch!, { auxLossCoef: 1 } as object)).toThrow("unknown option");
    for (const optimizer of [adamw, lion]) {
      expect(() => optimizer(odd)).toThrow(
        `${optimizer.name}: unknown option "weigthDecay", is it weightDecay?`,
      );
    }
    expect(() => sgd(odd)).toThrow('sgd: unknown option "betas"');
  });

  test("a file of data that is missing is named", async () => {
    const file = path.join(tempDir(), "none.txt");
    const tokenizer = {} as PretrainOptions["tokenizer"];
    for (const data of [file, file.replace("txt", "ds"), [file]]) {
      const run = stepsOf(model, { data, tokenizer });
      await expect(run).rejects.toThrow(`${data}: there is no such file or folder`);
      await expect(run).rejects.toBeInstanceOf(FormatError);
    }
  });
});

describe("a run that goes on", () => {
  test("with more steps, to the bits of one that had them from the start", async () => {
    using whole = tinyMoe(dev);
    await stepsOf(whole, { steps: 6 });
    const dir = tempDir();
    using first = tinyMoe(dev);
    await stepsOf(first, { steps: 3, checkpoint: { dir } });
    using second = tinyMoe(dev, 99);
    const checkpoint = { dir, resume: true };
    expect(await stepsOf(second, { steps: 6, checkpoint })).toEqual([4, 5, 6]);
    expect(await bits(second)).toEqual(await bits(whole));
    expect(await stepsOf(second, { steps: 6, checkpoint })).toEqual([]);
    await expect(stepsOf(second, { steps: 5, checkpoint })).rejects.toThrow(
      `pretrain: steps is 5, the run in ${dir} has done 6 already`,
    );
  });

  test("with another optimizer is refused; another rate is not", async () => {
    const dir = tempDir();
    using model = tinyMoe(dev);
    const run = (optimizer: Optimizer, steps: number) =>
      stepsOf(model, { optimizer, steps, checkpoint: { dir, resume: true } });
    await run(chain(clipByGlobalNorm(1), adamw()), 1);
    await run(chain(clipByGlobalNorm(1), adamw({ lr: 1e-5 })), 2);
    for (const [optimizer, message] of [
      [chain(clipByGlobalNorm(1), lion()), 'optimizer "adamw", this one has "lion"'],
      [chain(clipByGlobalNorm(2), adamw()), "clip 1, this one has 2"],
      [adamw(), 'clip 1, this one has "none"'],
      [chain(clipByGlobalNorm(1), adamw({ eps: 1e-6 })), "eps 1e-8, this one has 0.000001"],
      [chain(clipByGlobalNorm(1), adamw({ betas: [0.9, 0.9] })), "betas [0.9,0.999], this one"],
      [chain(clipByGlobalNorm(1), adamw({ weightDecay: 0 })), "weightDecay 0.01, this one has 0"],
    ] as const)
      await expect(run(optimizer, 3)).rejects.toThrow(message);
  });

  test("from a checkpoint that doesn't fit: no parameter has changed", async () => {
    const dir = tempDir();
    using model = tinyMoe(dev);
    await stepsOf(model, { steps: 1, checkpoint: { dir } });
    expect(await checkpointSteps(dir)).toEqual([1]);
    const file = path.join(dir, "step-00000001", "state.safetensors");
    const good = await readFile(file, "latin1");
    using other = tinyMoe(dev, 99);
    const before = await bits(other);
    for (const [from, to] of [
      ['"optimizer.first.lm_head.weight"', '"optimizer.fjrst.lm_head.weight"'],
      ['"param.lm_head.weight"', '"param.lm_hexd.weight"'],
    ] as const) {
      expect(good).toContain(from);
      await writeFile(file, good.replace(from, to), "latin1");
      await expect(stepsOf(other, { checkpoint: { dir, resume: true } })).rejects.toThrow(
        /fits no parameter|1 missing/,
      );
      expect(await bits(other)).toEqual(before);
    }
  });
});
