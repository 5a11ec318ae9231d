import path from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { attachLora } from "../../lib/adapters/attach.ts";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError, DeviceError, FormatError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { loadModel } from "../../lib/models/load.ts";
import type { Model } from "../../lib/models/model.ts";
import { saveModel } from "../../lib/models/save.ts";
import { expertLoad } from "../../lib/train/evaluate.ts";
import type { StepMetrics } from "../../lib/train/metrics.ts";
import { type PretrainOptions, pretrain } from "../../lib/train/pretrain.ts";
import { trainSft } from "../../lib/train/sft.ts";
import { changedFolder, contentOf, logitsOf } from "../support/model_folder.ts";
import { tempDir } from "../support/temp_dir.ts";
import { testDevice } from "../support/test_device.ts";
import { randomize, tinyModel } from "../support/tiny_model.ts";
import { tinyData, tinyMoe, tinyOptimizer } from "../support/tiny_run.ts";

let dev: Device;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2 });
});
afterAll(() => {
  expect(dev.stats().live).toBe(0);
  dev.close();
});

async function train(model: Model, options: Partial<PretrainOptions>): Promise<StepMetrics[]> {
  const seen: StepMetrics[] = [];
  const common = { model, data: tinyData(), optimizer: tinyOptimizer() };
  for await (const m of pretrain({ ...common, steps: 1, ...options })) seen.push(m);
  return seen;
}

/** A model whose tokens have much in common, so that its untrained routers send most of them to the same experts. */
function skewed(seed = 1): Model {
  const model = tinyMoe(dev, seed);
  randomize(model.params, "gate.weight", { scale: 0.3 });
  const embedding = model.params["model.embed_tokens.weight"]!;
  const random = new Random(3);
  embedding.write(
    Float32Array.from({ length: embedding.size }, (_, i) => (i % 2) + random.normal()),
    "f32",
  );
  return model;
}

/** The busiest expert's load as a multiple of the mean, in the worst layer, over all batches. */
async function worstLoad(model: Model): Promise<number> {
  const batches = tinyData();
  const loads = await Promise.all(batches.map((batch) => expertLoad(model, batch)));
  return Math.max(
    ...loads[0]!.map((layer, l) =>
      Math.max(...layer.map((_, e) => (loads.reduce((sum, of) => sum + of[l]![e]!, 0) / batches.length) * 4)),
    ),
  );
}

const biasesOf = (model: Model) =>
  Promise.all(Object.values(model.routerBias).map(async (bias) => [...(await bias.data())]));
const bits = (model: Model) =>
  Promise.all(
    [...Object.values(model.params), ...Object.values(model.routerBias)].map((tensor) => tensor.bytesData()),
  );

test("load becomes even where nothing but the biases can change it", async () => {
  using without = skewed();
  using balanced = skewed();
  const before = await worstLoad(without);
  expect(before).toBeGreaterThan(1.6);
  const head = (model: Model) => ({ params: { head: model.params["lm_head.weight"]! }, steps: 200 });
  await train(without, head(without));
  await train(balanced, { ...head(balanced), routerBiasRate: 0.003 });
  expect(await worstLoad(without)).toBe(before);
  expect(await worstLoad(balanced)).toBeLessThan(1.1);
  expect(Object.keys(without.routerBias)).toEqual([]);
  expect(Object.keys(balanced.routerBias)).toEqual([
    "model.layers.0.block_sparse_moe.gate.e_score_correction_bias",
    "model.layers.1.block_sparse_moe.gate.e_score_correction_bias",
  ]);
});

test("an update moves each bias by the rate, by the load of all parts of its batch", async () => {
  using model = skewed();
  const data = tinyData();
  const counts = [0, 1].map(() => new Array<number>(4).fill(0));
  for (const batch of data.slice(0, 2)) {
    const layers = model.routing(batch);
    for (const [l, { experts, weights }] of layers.entries()) {
      for (const e of await experts.data()) counts[l]![e]!++;
      experts.dispose();
      weights.dispose();
    }
  }
  await train(model, { steps: 1, accumulationSteps: 2, routerBiasRate: 0.25 });
  const mean = (2 * 29 * 2) / 4;
  expect(await biasesOf(model)).toEqual(counts.map((of) => of.map((n) => 0.25 * Math.sign(mean - n))));
  expect(counts.flat().some((n) => n !== mean)).toBe(true);
});

test("a resumed run, and one that recomputes its layers, have the same bits", async () => {
  const dir = tempDir();
  const options = { routerBiasRate: 0.01, auxLossCoef: 0.001 };
  using whole = skewed();
  const losses = (await train(whole, { ...options, steps: 7 })).map(({ loss }) => loss);
  using first = skewed();
  await train(first, { ...options, steps: 4, checkpoint: { dir } });
  using second = skewed(9);
  const rest = await train(second, { ...options, steps: 7, checkpoint: { dir, resume: true } });
  expect(rest.map(({ loss }) => loss)).toEqual(losses.slice(4));
  expect(await bits(second)).toEqual(await bits(whole));
  using again = skewed();
  await train(again, { ...options, steps: 7, recompute: true });
  expect(await bits(again)).toEqual(await bits(whole));
  using without = skewed();
  await expect(
    train(without, { auxLossCoef: 0.001, steps: 8, checkpoint: { dir, resume: true } }),
  ).rejects.toThrow(/routerBiasRate 0.01, this one has 0/);
});

test("a saved model keeps its biases in f32, says that transformers doesn't read them, and runs with them", async () => {
  using model = skewed();
  await train(model, { steps: 5, routerBiasRate: 0.171 });
  const dir = path.join(tempDir(), "saved");
  const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  await saveModel(model, dir, { dtype: "bf16" });
  expect(warn.mock.calls.join()).toMatch(/holds biases of the routers .* transformers' mixtral has none/);
  const name = "model.layers.1.block_sparse_moe.gate.e_score_correction_bias";
  const { tensors } = await contentOf(dir);
  expect(tensors[name]).toMatchObject({ dtype: "F32", shape: [4] });
  await saveModel(model, dir);
  warn.mockRestore();
  using loaded = await loadModel(dir, { device: dev });
  expect(await bits(loaded)).toEqual(await bits(model));
  expect(await logitsOf(loaded)).toEqual(await logitsOf(model));
  const plain = await changedFolder(dir, (of) => {
    for (const key of Object.keys(of)) if (key.endsWith("bias")) delete of[key];
  });
  using unbiased = await loadModel(plain, { device: dev });
  expect(unbiased.routerBias).toEqual({});
  expect(await logitsOf(unbiased)).not.toEqual(await logitsOf(model));
  // Later runs move them on from where they are.
  const at = (await biasesOf(loaded)).flat();
  await train(loaded, { steps: 1, routerBiasRate: 0.5 });
  (await biasesOf(loaded)).flat().forEach((bias, i) => {
    expect([0, 0.5]).toContain(Number(Math.abs(bias - at[i]!).toFixed(6)));
  });
  const partly = await changedFolder(dir, (of) => {
    delete of[name];
  });
  await expect(loadModel(partly, { device: dev })).rejects.toThrow(`lacks 1 of the`);
  await expect(loadModel(partly, { device: dev })).rejects.toThrow(FormatError);
});

test("every sparse family has biases, and trainSft moves them too", async () => {
  const optimizer = tinyOptimizer();
  for (const family of ["olmoe", "qwen2_moe", "qwen3_moe"] as const) {
    using model = tinyModel(family, { device: dev, seed: 1 }, { vocab_size: 64 });
    for await (const _ of trainSft({ model, data: tinyData(), optimizer, steps: 1, routerBiasRate: 0.5 }));
    expect(Object.keys(model.routerBias)[0]).toBe("model.layers.0.mlp.gate.e_score_correction_bias");
    const biases = (await biasesOf(model)).flat();
    expect(biases).toHaveLength(8);
    expect(biases).toContain(0.5);
    expect(biases).toContain(-0.5);
  }
});

test("a step whose loss is not finite moves no bias", async () => {
  using model = skewed();
  await train(model, { steps: 3, routerBiasRate: 0.01 });
  const before = await biasesOf(model);
  const bad = model.params["model.layers.1.block_sparse_moe.experts.2.w2.weight"]!;
  bad.write(new Float32Array(bad.size).fill(Number.NaN));
  await expect(train(model, { steps: 2, routerBiasRate: 0.01 })).rejects.toThrow(DeviceError);
  expect(await biasesOf(model)).toEqual(before);
});

test("refused: a dense model, a model with an adapter, a rate that is no number from 0", async () => {
  using dense = tinyModel("llama", { device: dev, seed: 1 });
  await expect(train(dense, { routerBiasRate: 0.001 })).rejects.toThrow(/on llama, which has no router/);
  using model = tinyMoe(dev);
  for (const routerBiasRate of [-0.1, Number.NaN, Number.POSITIVE_INFINITY])
    await expect(train(model, { routerBiasRate })).rejects.toThrow(ConfigError);
  using adapter = attachLora(model, { targets: ["q_proj"], rank: 2 });
  await expect(train(model, { params: adapter.params, routerBiasRate: 0.001 })).rejects.toThrow(
    /a model with an adapter, whose folder does not hold biases/,
  );
  expect(model.routerBias).toEqual({});
});
