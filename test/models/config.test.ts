import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { ConfigError } from "../../lib/core/errors.ts";
import { newModelConfig, parseModelConfig } from "../../lib/models/config.ts";
import { sharedPath } from "../support/shared_data.ts";

const llama = {
  model_type: "llama",
  vocab_size: 96,
  hidden_size: 32,
  intermediate_size: 56,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 4,
};
const qwen2Moe = {
  ...llama,
  model_type: "qwen2_moe",
  moe_intermediate_size: 20,
  shared_expert_intermediate_size: 36,
};

test("an old and a new config.json of the same model read the same", () => {
  const old = { ...llama, rope_theta: 5e5, rope_scaling: null, torch_dtype: "bfloat16" };
  const now = { ...llama, rope_parameters: { rope_type: "default", rope_theta: 5e5 }, dtype: "bfloat16" };
  const [a, b] = [parseModelConfig(old), parseModelConfig(now)];
  expect([a.ropeTheta, a.dtype, a.ropeParameters]).toEqual([5e5, "bfloat16", b.ropeParameters]);
  expect([b.ropeTheta, b.dtype]).toEqual([5e5, "bfloat16"]);
  expect(a.raw).toBe(old);
});

test("what a file leaves out is transformers' default", () => {
  const model = (model_type: string) => parseModelConfig({ model_type });
  expect(model("llama")).toMatchObject({
    ropeTheta: 1e4,
    numKeyValueHeads: 32,
    headDim: 128,
    rmsNormEps: 1e-6,
  });
  expect(model("llama")).toMatchObject({ numExperts: 0, qkNorm: "none", qkvBias: false, bosTokenId: 1 });
  expect(model("qwen3")).toMatchObject({
    headDim: 128,
    qkNorm: "head",
    slidingWindow: undefined,
    vocabSize: 151936,
  });
  expect(model("mixtral")).toMatchObject({
    ropeTheta: 1e6,
    numKeyValueHeads: 8,
    numExperts: 8,
    numLocalExperts: 8,
  });
  expect(model("mixtral")).toMatchObject({
    numExpertsPerTok: 2,
    moeIntermediateSize: 14336,
    normTopkProb: true,
  });
  expect(model("mixtral")).toMatchObject({
    routerAuxLossCoef: 0.001,
    maxPositionEmbeddings: 131072,
    rmsNormEps: 1e-5,
  });
  expect(model("olmoe")).toMatchObject({
    numExperts: 64,
    normTopkProb: false,
    routerAuxLossCoef: 0.01,
    qkNorm: "full",
  });
  expect(model("olmoe")).toMatchObject({
    eosTokenId: 50279,
    padTokenId: 1,
    clipQkv: undefined,
    numExpertsPerTok: 8,
  });
  expect(model("qwen2_moe")).toMatchObject({
    qkvBias: true,
    attentionBias: false,
    moeIntermediateSize: 1408,
  });
  expect(model("qwen2_moe")).toMatchObject({
    sharedExpertIntermediateSize: 5632,
    numExperts: 60,
    normTopkProb: false,
  });
  expect(model("qwen3_moe")).toMatchObject({
    headDim: 64,
    numExperts: 128,
    moeIntermediateSize: 768,
    qkNorm: "head",
  });
});

test("null is not the default: mixtral with num_key_value_heads null has as many as heads", () => {
  expect(parseModelConfig({ model_type: "mixtral", num_key_value_heads: null }).numKeyValueHeads).toBe(32);
});

test("other fields of a file stand beside, camelCased", () => {
  const config = parseModelConfig({ ...llama, pretraining_tp: 1, my_own_2: "x", _name_or_path: "y" });
  expect(config).toMatchObject({ pretrainingTp: 1, myOwn2: "x", _nameOrPath: "y" });
});

test("which layers are sparse", () => {
  const config = {
    ...qwen2Moe,
    num_experts: 4,
    num_experts_per_tok: 2,
    decoder_sparse_step: 2,
    mlp_only_layers: [3],
  };
  const sparse = (c: object) =>
    [0, 1, 2, 3].filter((i) => parseModelConfig({ ...config, ...c }).isMoeLayer(i));
  expect(sparse({})).toEqual([1]);
  expect(sparse({ decoder_sparse_step: 1 })).toEqual([0, 1, 2]);
  expect(sparse({ model_type: "llama" })).toEqual([]);
  expect(sparse({ model_type: "mixtral" })).toEqual([0, 1, 2, 3]);
});

test("which layers have a window", () => {
  const windows = (c: object) => {
    const config = parseModelConfig({ ...qwen2Moe, num_experts_per_tok: 2, sliding_window: 8, ...c });
    return [0, 1, 2, 3].map((i) => config.windowOf(i));
  };
  expect(windows({})).toEqual([0, 0, 0, 0]);
  expect(windows({ model_type: "mixtral" })).toEqual([8, 8, 8, 8]);
  const used = { use_sliding_window: true, max_window_layers: 2 };
  expect(windows(used)).toEqual([8, 0, 0, 0]);
  expect(windows({ ...used, model_type: "qwen3" })).toEqual([0, 0, 8, 8]);
  expect(windows({ ...used, model_type: "qwen3_moe" })).toEqual([8, 8, 8, 8]);
  const types = ["full_attention", "sliding_attention", "full_attention", "full_attention"];
  expect(windows({ ...used, layer_types: types })).toEqual([0, 8, 0, 0]);
  expect(() => windows({ layer_types: types })).toThrow("use_sliding_window true");
  expect(() => windows({ layer_types: types.slice(1) })).toThrow("one entry for each of the 4 layers");
});

describe("what this build does not have is refused by name", () => {
  const cases: [object, string][] = [
    [
      { model_type: "gemma9" },
      'config.json says model_type "gemma9"; this build reads llama, qwen3, mixtral,',
    ],
    [{ model_type: "toString" }, 'config.json says model_type "toString"; this build reads'],
    [{ model_type: undefined }, "config.json says model_type undefined; this build reads"],
    [
      { quantization_config: { bits: 4 } },
      "config.json has a quantization_config; this build reads float weights only",
    ],
    [{ hidden_act: "gelu" }, 'says hidden_act "gelu"; this build knows "silu", "swish" only'],
    [{ mlp_bias: true }, "says mlp_bias true; this build knows false only"],
    [{ attention_dropout: 0.1 }, "says attention_dropout 0.1; this build knows 0 only"],
    [{ partial_rotary_factor: 0.5 }, "partial_rotary_factor"],
    [
      { rope_scaling: { type: "dynamic", factor: 2 } },
      'rope_scaling says rope_type "dynamic"; this build knows default,',
    ],
    [{ rope_scaling: { rope_type: "longrope", long_factor: [1] } }, 'says rope_type "longrope"'],
    [
      { rope_parameters: { full_attention: { rope_type: "default" } } },
      "settings of its own for full_attention",
    ],
    [
      { rope_scaling: { rope_type: "linear" } },
      "type linear has factor undefined, it needs a number above 0",
    ],
    [{ hidden_size: 30 }, "says hidden_size 30, it needs a multiple of num_attention_heads 4"],
    [{ head_dim: 7 }, "says head_dim 7, it needs an even number"],
    [{ num_key_value_heads: 3 }, "says num_key_value_heads 3, it needs a divisor of num_attention_heads 4"],
    [
      { model_type: "qwen3", num_key_value_heads: undefined },
      "has the default num_key_value_heads 32, it needs a divisor",
    ],
    [{ vocab_size: 0 }, "says vocab_size 0, it needs a whole number from 1"],
    [{ vocab_size: "96" }, 'says vocab_size "96", it needs a whole number from 1'],
    [{ tie_word_embeddings: 1 }, "says tie_word_embeddings 1, it needs true or false"],
    [
      { ...qwen2Moe, num_experts: 2, num_experts_per_tok: 3 },
      "says num_experts_per_tok 3, it needs a whole number up to the 2",
    ],
    [{ ...qwen2Moe, num_experts: 4, num_local_experts: 5 }, "says num_experts 4 and num_local_experts 5"],
    [{ model_type: "mixtral", router_jitter_noise: 0.1 }, "says router_jitter_noise 0.1"],
    [{ ...qwen2Moe, mlp_only_layers: [-1] }, "says mlp_only_layers [-1], it needs a list of layer numbers"],
  ];
  test.each(cases)("%o", (change, message) => {
    const parse = () => parseModelConfig({ ...llama, ...change });
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(`loadModel: config.json`);
    expect(parse).toThrow(message);
  });
});

describe("a config for a new model", () => {
  test("is completed, so that a saved one depends on no default", () => {
    const config = newModelConfig({
      ...llama,
      model_type: "mixtral",
      num_key_value_heads: 2,
      num_experts: 4,
    });
    expect(config).toMatchObject({ numExperts: 4, numKeyValueHeads: 2, ropeTheta: 1e6 });
    expect(config.raw).toMatchObject({
      architectures: ["MixtralForCausalLM"],
      num_experts: 4,
      rms_norm_eps: 1e-5,
    });
    expect(config.raw).not.toHaveProperty("num_local_experts");
    expect(Object.values(config.raw)).not.toContain(null);
    const again = parseModelConfig(JSON.parse(JSON.stringify(config.raw)));
    expect(JSON.stringify(again)).toBe(JSON.stringify(config));
  });

  test("must name its sizes", () => {
    const { hidden_size, vocab_size, ...rest } = llama;
    expect(() => newModelConfig(rest)).toThrow(
      "createModel: the config does not say vocab_size, hidden_size; a new llama needs it.",
    );
    expect(() => newModelConfig({ model_type: "bert" })).toThrow(
      'createModel: the config says model_type "bert"',
    );
  });

  test("has no unknown field", () => {
    expect(() => newModelConfig({ ...llama, hiddenSize: 3 })).toThrow(
      "createModel: the config has hiddenSize, which llama does not have. Is it hidden_size?",
    );
    expect(() => newModelConfig({ ...llama, num_experts_per_token: 3 })).toThrow(
      "which llama does not have.",
    );
    expect(() => newModelConfig({ ...qwen2Moe, num_experts_per_token: 3 })).toThrow(
      "Is it num_experts_per_tok?",
    );
  });
});

describe.each(["llama", "qwen3", "mixtral", "olmoe", "qwen2_moe", "qwen3_moe"])(
  "reference config of %s",
  (family) => {
    const dir = sharedPath(`data/fixtures/hf-tiny/${family}`);

    test.skipIf(!dir)("reads, and is also good for a new model", () => {
      const raw = JSON.parse(readFileSync(path.join(dir!, "config.json"), "utf8"));
      const config = parseModelConfig(raw);
      const experts = raw.num_local_experts ?? raw.num_experts ?? 0;
      expect(config).toMatchObject({ headDim: 8, vocabSize: 96, ropeTheta: 1e4, slidingWindow: undefined });
      expect([config.numExperts, config.dtype, config.bosTokenId]).toEqual([experts, "float32", 1]);
      expect(config.isMoeLayer(1)).toBe(experts > 0);
      expect(newModelConfig(raw).hiddenSize).toBe(32);
    });
  },
);

test.skipIf(!sharedPath("oracles/public"))(
  "configs of the reference models and of a real one; two refused families",
  () => {
    const read = (file: string) => parseModelConfig(JSON.parse(readFileSync(sharedPath(file)!, "utf8")));
    expect(read("oracles/public/llama/model/config.json")).toMatchObject({ headDim: 16, dtype: "float32" });
    expect(read("oracles/public/mixtral/model/config.json")).toMatchObject({ ropeTheta: 1e6, numExperts: 4 });
    expect(read("data/models/stories260K/config.json")).toMatchObject({
      tieWordEmbeddings: true,
      padTokenId: undefined,
    });
    expect(() => read("data/fixtures/hf-tiny/gpt2/config.json")).toThrow('model_type "gpt2"');
    expect(() => read("data/fixtures/hf-tiny/deepseek_v3/config.json")).toThrow('model_type "deepseek_v3"');
  },
);
