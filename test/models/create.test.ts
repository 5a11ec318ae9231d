import { writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attachLora } from "../../lib/adapters/attach.ts";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError, DisposedError, MixwrightError } from "../../lib/core/errors.ts";
import { generate } from "../../lib/generate/generate.ts";
import { createModel } from "../../lib/models/create.ts";
import { loadModel } from "../../lib/models/load.ts";
import type { Model } from "../../lib/models/model.ts";
import { saveModel } from "../../lib/models/save.ts";
import { type UpcycleOptions, upcycle } from "../../lib/models/upcycle.ts";
import { packBatch } from "../../lib/text/token_batch.ts";
import type { Tokenizer } from "../../lib/text/tokenizer.ts";
import { evaluateLoss, evaluateText } from "../../lib/train/evaluate.ts";
import { hfTiny } from "../support/fixture.ts";
import { oracleFolders } from "../support/golden.ts";
import { contentOf, createdFolder, logitsOf, paramsOf, readObject, tiny } from "../support/model_folder.ts";
import { expectClose } from "../support/oracle.ts";
import { tempDir } from "../support/temp_dir.ts";

const llamaDir = path.join(oracleFolders()[0]!, "model");

let dev: Device;
beforeAll(async () => {
  dev = await device("cpu", { threads: 2 });
});
afterAll(() => {
  expect(dev.stats().live).toBe(0);
  dev.close();
});

test("an open device is asked for, whatever stands in its place", async () => {
  const given: [options: unknown, message: string][] = [
    [undefined, 'device is missing, an open one was needed: { device: await device("cpu") }'],
    [{}, "device is missing"],
    [{ device: "auto" }, 'device is "auto", an open one was needed: { device: await device("auto") }'],
    [{ device: device("cpu") }, "device is no device"],
  ];
  for (const [options, message] of given) {
    expect(() => createModel(tiny, options as { device: Device })).toThrow(`createModel: ${message}`);
    const loading = loadModel(llamaDir, options as { device: Device });
    await expect(loading).rejects.toThrow(ConfigError);
    await expect(loading).rejects.toThrow(`loadModel: ${message}`);
  }
});

test("a disposed model says so", () => {
  const model = createModel(tiny, { device: dev });
  model.dispose();
  const batch = packBatch([[1, 2, 3]]);
  const tok = {} as Tokenizer;
  for (const use of [
    () => model.logits(batch),
    () => model.routing(batch),
    () => attachLora(model),
    () => generate(model, tok, { tokens: [1] }),
  ]) {
    expect(use).toThrow(DisposedError);
    expect(use).toThrow("the model was disposed, a live one was needed");
  }
});

test("a loss that is none is an error", async () => {
  using model = createModel(tiny, { device: dev });
  await expect(evaluateLoss(model, [])).rejects.toThrow(ConfigError);
  await expect(evaluateLoss(model, [packBatch([[1]])])).rejects.toThrow("no token to predict");
  model.params["model.norm.weight"]!.write(new Float32Array(16).fill(Number.NaN));
  for (const measured of [
    evaluateLoss(model, [packBatch([[1, 2]])]),
    evaluateText(model, [packBatch([[1, 2]])], 3),
  ]) {
    await expect(measured).rejects.toThrow(MixwrightError);
    await expect(measured).rejects.toThrow("the loss of 1 tokens is NaN, a finite number was needed");
  }
});

describe("createModel", () => {
  test("the seed decides", async () => {
    const make = (seed?: number) => createModel(tiny, { device: dev, ...(seed !== undefined && { seed }) });
    const models = [make(), make(0), make(1)];
    const [a, b, c] = await Promise.all(models.map(paramsOf));
    expect(b).toEqual(a);
    for (const name of Object.keys(a!)) expect(c![name] === a![name], name).toBe(name.includes("norm"));
    for (const model of models) model.dispose();
  });

  test("weights are normal with initializer_range, each tensor its own; norms one, biases zero", async () => {
    const config = {
      ...tiny,
      model_type: "qwen2_moe",
      vocab_size: 500,
      hidden_size: 64,
      moe_intermediate_size: 24,
      shared_expert_intermediate_size: 24,
      num_key_value_heads: 2,
      num_experts: 4,
      num_experts_per_tok: 2,
    };
    const model = createModel(config, { device: dev, seed: 5 });
    const valuesOf = async (name: string): Promise<number[]> => Array.from(await model.params[name]!.data());
    const table = await valuesOf("model.embed_tokens.weight");
    const mean = table.reduce((x, y) => x + y) / table.length;
    const std = Math.sqrt(table.reduce((x, y) => x + (y - mean) ** 2, 0) / table.length);
    expect(Math.abs(mean)).toBeLessThan(0.01);
    expect(Math.abs(std / 0.3 - 1)).toBeLessThan(0.02);
    expect(new Set(await valuesOf("model.layers.0.self_attn.q_proj.bias"))).toEqual(new Set([0]));
    expect(new Set(await valuesOf("model.layers.1.input_layernorm.weight"))).toEqual(new Set([1]));
    const weights = Object.keys(model.params).filter((name) => !/norm|bias/.test(name));
    const firsts = await Promise.all(weights.map(async (name) => (await valuesOf(name))[0]));
    expect(new Set(firsts).size).toBe(weights.length);
    model.dispose();
  });

  test("bf16 is saved as bf16", async () => {
    const model = createModel(tiny, { device: dev, dtype: "bf16" });
    const dir = tempDir();
    await saveModel(model, dir);
    const again = await loadModel(dir, { device: dev, dtype: "bf16" });
    expect((await contentOf(dir)).tensors["lm_head.weight"]!.dtype).toBe("BF16");
    expect(await paramsOf(again)).toEqual(await paramsOf(model));
    model.dispose();
    again.dispose();
  });
});

describe("upcycling keeps the logits", () => {
  async function check(
    dense: Model,
    options: UpcycleOptions = { experts: 4, topK: 2, seed: 1 },
  ): Promise<void> {
    const sparse = upcycle(dense, options);
    const want = await logitsOf(dense);
    expectClose(await logitsOf(sparse), want, 1e-5, "logits");
    const dir = tempDir();
    await saveModel(sparse, dir);
    const again = await loadModel(dir, { device: dev });
    expect(await logitsOf(again)).toEqual(await logitsOf(sparse));
    expect(again.config).toMatchObject({ numExperts: options.experts, numExpertsPerTok: options.topK });
    const routers = Object.keys(sparse.params).filter((name) => /\.gate\.weight$/.test(name));
    const [first, second] = await Promise.all(routers.map((name) => sparse.params[name]!.data()));
    expect(first).not.toEqual(second);
    for (const model of [dense, sparse, again]) model.dispose();
  }

  test("llama to mixtral", async () => check(await loadModel(llamaDir, { device: dev })));
  test("qwen3 to qwen3_moe", async () => check(await loadModel(hfTiny("qwen3")!, { device: dev })));
  test("one expert is enough", async () =>
    check(createModel(tiny, { device: dev }), { experts: 1, topK: 1 }));
  test("a tied head", async () =>
    check(createModel({ ...tiny, tie_word_embeddings: true }, { device: dev })));

  test("where config.json leaves out what the sparse family has other defaults for", async () => {
    const from = await createdFolder(dev, tiny);
    const { num_key_value_heads, rms_norm_eps, rope_theta, head_dim, ...rest } = readObject(
      from,
      "config.json",
    );
    writeFileSync(path.join(from, "config.json"), JSON.stringify(rest));
    await check(await loadModel(from, { device: dev }));
    const qwen = await createdFolder(dev, {
      ...tiny,
      model_type: "qwen3",
      num_key_value_heads: 4,
      head_dim: 4,
    });
    writeFileSync(
      path.join(qwen, "config.json"),
      JSON.stringify({ ...readObject(qwen, "config.json"), num_key_value_heads: null }),
    );
    await check(await loadModel(qwen, { device: dev }));
  });

  test("what can't be is refused", () => {
    const llama = createModel({ ...tiny, attention_bias: true }, { device: dev });
    const plain = createModel(tiny, { device: dev });
    const sparse = createModel({ ...tiny, model_type: "mixtral", num_key_value_heads: 4 }, { device: dev });
    const { live } = dev.stats();
    const cases: [Model, object, string][] = [
      [sparse, { experts: 2, topK: 1 }, 'model_type is "mixtral"'],
      [llama, { experts: 2, topK: 1 }, "attention_bias is true"],
      [plain, { experts: 0, topK: 1 }, "experts is 0"],
      [plain, { experts: 2, topK: 3 }, "num_experts_per_tok 3, it needs a whole number up to the 2 experts"],
      [plain, { experts: 2, topK: 1, routerSd: 1 }, 'unknown option "routerSd", is it routerStd?'],
    ];
    for (const [model, options, message] of cases) {
      expect(() => upcycle(model, options as UpcycleOptions), message).toThrow(ConfigError);
      expect(() => upcycle(model, options as UpcycleOptions)).toThrow(message);
    }
    expect(dev.stats().live).toBe(live);
    for (const model of [llama, plain, sparse]) model.dispose();
  });
});
