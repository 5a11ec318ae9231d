import { ConfigError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { type FamilyDefaults, kFamilies, kWithoutEffect, type ModelType } from "./config_defaults.ts";
import { ConfigReader } from "./config_reader.ts";
import { type RopeParameters, readRope } from "./rope.ts";

export type { ModelType } from "./config_defaults.ts";
export { inverseFrequencies, type RopeParameters } from "./rope.ts";

/**
 * What config.json says of a model: the fields of its Hugging Face family, camelCased, with transformers' defaults, and
 * what tells families apart in one common form. The object also has every other field of the file, camelCased.
 */
export interface ModelConfig {
  readonly modelType: ModelType;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Width of the dense feed-forward layers; in mixtral and olmoe of one expert, as moeIntermediateSize says too. */
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly maxPositionEmbeddings: number;
  readonly rmsNormEps: number;
  readonly initializerRange: number;
  readonly tieWordEmbeddings: boolean;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | readonly number[] | undefined;
  readonly padTokenId: number | undefined;
  readonly ropeTheta: number;
  readonly ropeParameters: RopeParameters;
  /** RMS norm on queries and keys: none, over each head's dimensions, or over the full projection. */
  readonly qkNorm: "none" | "head" | "full";
  /** Bias on q, k and v. */
  readonly qkvBias: boolean;
  /** Bias on q, k, v and the output projection. */
  readonly attentionBias: boolean;
  /** Queries, keys and values are limited to ± this. */
  readonly clipQkv: number | undefined;
  /** Keys in reach of a query, its own included, in layers that `windowOf` says; undefined: all of the document. */
  readonly slidingWindow: number | undefined;
  /** Experts of a sparse layer; 0 in a dense model, as the five fields below. */
  readonly numExperts: number;
  readonly numExpertsPerTok: number;
  /** Width of one expert. */
  readonly moeIntermediateSize: number;
  /** Width of the expert that every token passes; 0 = none. */
  readonly sharedExpertIntermediateSize: number;
  readonly routerAuxLossCoef: number;
  /** Whether the weights of the chosen experts are scaled to sum to 1. */
  readonly normTopkProb: boolean;
  /** Number format of the weights on disk as the file says it ("bfloat16"), old or new key. */
  readonly dtype: string | undefined;
  /** The object it was read from: what saving writes again. */
  readonly raw: Readonly<Record<string, unknown>>;
  isMoeLayer(layer: number): boolean;
  /** Keys in reach of a query in this layer; 0 = all. */
  windowOf(layer: number): number;
}

/**
 * Reads the object of a Hugging Face config.json, of transformers v4 or v5. Extra fields are let pass.
 * @param where Beginning of every message, such as "loadModel: config.json".
 * @throws ConfigError for a family, or a feature of it, that this build does not have, and for sizes that don't fit.
 */
export function parseModelConfig(
  raw: Readonly<Record<string, unknown>>,
  where = "loadModel: config.json",
): ModelConfig {
  const modelType = raw.model_type as ModelType;
  if (!Object.hasOwn(kFamilies, modelType)) {
    throw new ConfigError(
      `${where} says model_type ${JSON.stringify(raw.model_type)}; this build reads ${Object.keys(kFamilies).join(", ")}.`,
      "model_type",
    );
  }
  if (raw.quantization_config) {
    throw new ConfigError(
      `${where} has a quantization_config; this build reads float weights only. Take the checkpoint without quantization.`,
      "quantization_config",
    );
  }
  const family = kFamilies[modelType];
  const reader = new ConfigReader(where, withOneExpertCount(raw, family, where), family.fields);
  reader.only("hidden_act", "silu", "swish");
  reader.only("mlp_bias", false);
  reader.only("attention_dropout", 0);
  reader.only("router_jitter_noise", 0);
  const common = {
    ...camelCased({ ...family.fields, ...raw }),
    ...readSizes(reader),
    ...readExperts(reader),
  };
  const ropeParameters = readRope(reader, common.maxPositionEmbeddings);
  const attentionBias = reader.flag("attention_bias");
  const { slidingWindow, windows } = readWindows(reader, modelType, common.numHiddenLayers);
  const { numExperts, decoderSparseStep, mlpOnlyLayers } = common;
  return {
    ...common,
    modelType,
    rmsNormEps: reader.number("rms_norm_eps"),
    initializerRange: reader.number("initializer_range"),
    tieWordEmbeddings: reader.flag("tie_word_embeddings"),
    bosTokenId: reader.optionalSize("bos_token_id", -1),
    eosTokenId: Array.isArray(raw.eos_token_id)
      ? reader.list("eos_token_id", "ids", isIndex)
      : reader.optionalSize("eos_token_id", -1),
    padTokenId: reader.optionalSize("pad_token_id", -1),
    ropeTheta: ropeParameters.ropeTheta,
    ropeParameters,
    qkNorm: family.qkNorm,
    qkvBias: attentionBias || reader.flag("qkv_bias"),
    attentionBias,
    clipQkv: reader.value("clip_qkv") === null ? undefined : reader.number("clip_qkv", true),
    slidingWindow,
    normTopkProb: modelType === "mixtral" || reader.flag("norm_topk_prob"),
    dtype: (raw.dtype ?? raw.torch_dtype ?? undefined) as string | undefined,
    raw,
    isMoeLayer: (layer) =>
      numExperts > 0 && (layer + 1) % decoderSparseStep === 0 && !mlpOnlyLayers.includes(layer),
    windowOf: (layer) => windows[layer] ?? 0,
  };
}

/**
 * Checks and completes the config of a new model: `model_type` and sizes must be named, the rest may be left to
 * transformers' defaults; `raw` then holds all of them, so that a saved model does not depend on defaults.
 * @throws ConfigError as parseModelConfig, and for a field that the family does not have.
 */
export function newModelConfig(given: Readonly<Record<string, unknown>>): ModelConfig {
  const where = "createModel: the config";
  const family = kFamilies[given.model_type as ModelType] as FamilyDefaults | undefined;
  if (!family) return parseModelConfig(given, where);
  const known = [...Object.keys(family.fields), ...kWithoutEffect, "num_experts", "num_local_experts"];
  for (const key of Object.keys(given)) {
    if (known.includes(key)) continue;
    const meant = nearest(key, known);
    throw new ConfigError(
      `${where} has ${key}, which ${given.model_type} does not have.${meant ? ` Is it ${meant}?` : ""}`,
      key,
    );
  }
  const missing = family.required.filter((key) => given[key] === undefined);
  if (missing.length > 0) {
    throw new ConfigError(
      `${where} does not say ${missing.join(", ")}; a new ${given.model_type} needs it.`,
      missing[0],
    );
  }
  return parseModelConfig(completeConfig(given, family), where);
}

/** The config with the defaults of its family written out, so that it depends on none of them. */
export function completeConfig(
  given: Readonly<Record<string, unknown>>,
  family: FamilyDefaults = kFamilies[given.model_type as ModelType],
): Record<string, unknown> {
  const named = Object.entries(family.fields).filter(
    ([key, value]) => value !== null && key !== "partial_rotary_factor",
  );
  const plain = Object.fromEntries(named);
  const filled: Record<string, unknown> = { architectures: [family.architecture], ...plain, ...given };
  if (given.num_experts !== undefined && "num_local_experts" in plain) delete filled.num_local_experts;
  if (given.num_local_experts !== undefined && "num_experts" in plain) delete filled.num_experts;
  if (given.rope_parameters && given.rope_theta === undefined) delete filled.rope_theta;
  return filled;
}

function readSizes(reader: ConfigReader) {
  const hiddenSize = reader.size("hidden_size");
  const numAttentionHeads = reader.size("num_attention_heads");
  const numKeyValueHeads = reader.optionalSize("num_key_value_heads") ?? numAttentionHeads;
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    reader.refuse("num_key_value_heads", `a divisor of num_attention_heads ${numAttentionHeads}`);
  }
  const headDim = reader.optionalSize("head_dim") ?? hiddenSize / numAttentionHeads;
  if (!Number.isInteger(headDim)) {
    reader.refuse(
      "hidden_size",
      `a multiple of num_attention_heads ${numAttentionHeads}, or a head_dim beside it`,
    );
  }
  if (headDim % 2 !== 0) reader.refuse("head_dim", `an even number for rotary pairs (it is ${headDim})`);
  return {
    vocabSize: reader.size("vocab_size"),
    hiddenSize,
    intermediateSize: reader.size("intermediate_size"),
    numHiddenLayers: reader.size("num_hidden_layers"),
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    maxPositionEmbeddings: reader.size("max_position_embeddings"),
  };
}

function readExperts(reader: ConfigReader) {
  const numExperts =
    reader.optionalSize("num_local_experts", 0) ?? reader.optionalSize("num_experts", 0) ?? 0;
  const sparse = numExperts > 0;
  const numExpertsPerTok = sparse ? reader.size("num_experts_per_tok") : 0;
  if (numExpertsPerTok > numExperts) {
    reader.refuse("num_experts_per_tok", `a whole number up to the ${numExperts} experts`);
  }
  return {
    numExperts,
    numExpertsPerTok,
    moeIntermediateSize: sparse
      ? (reader.optionalSize("moe_intermediate_size") ?? reader.size("intermediate_size"))
      : 0,
    sharedExpertIntermediateSize: reader.optionalSize("shared_expert_intermediate_size") ?? 0,
    routerAuxLossCoef: sparse ? reader.number("router_aux_loss_coef") : 0,
    decoderSparseStep: reader.optionalSize("decoder_sparse_step") ?? 1,
    mlpOnlyLayers: reader.list("mlp_only_layers", "layer numbers", isIndex) ?? [],
  };
}

/** Which layers see a window only. The Qwen families have one only if use_sliding_window says so, each for other layers. */
function readWindows(reader: ConfigReader, modelType: ModelType, layers: number) {
  const used = reader.value("use_sliding_window") === null || reader.flag("use_sliding_window");
  const slidingWindow = used ? reader.optionalSize("sliding_window") : undefined;
  const types = reader.list("layer_types", '"full_attention" and "sliding_attention"', isLayerType);
  if (types && types.length !== layers)
    reader.refuse("layer_types", `one entry for each of the ${layers} layers`);
  if (types?.includes("sliding_attention") && slidingWindow === undefined) {
    reader.refuse(
      "sliding_window",
      "a size, as layer_types has sliding_attention, and use_sliding_window true",
    );
  }
  const first = reader.optionalSize("max_window_layers", 0) ?? 0;
  const slides = (layer: number): boolean => {
    if (types) return types[layer] === "sliding_attention";
    if (modelType === "qwen3") return layer >= first;
    if (modelType === "qwen2_moe") return layer % 2 === 0 && layer < first;
    return true;
  };
  const windows = Array.from({ length: layers }, (_, layer) => (slides(layer) ? (slidingWindow ?? 0) : 0));
  return { slidingWindow, windows };
}

/** transformers takes num_experts for num_local_experts and the other way round: here it is the family's own key. */
function withOneExpertCount(raw: Readonly<Record<string, unknown>>, family: FamilyDefaults, where: string) {
  const { num_experts: a, num_local_experts: b, ...rest } = raw;
  if (typeof a === "number" && typeof b === "number" && a !== b) {
    throw new ConfigError(
      `${where} says num_experts ${a} and num_local_experts ${b}, which mean the same.`,
      "num_experts",
    );
  }
  const key = "num_local_experts" in family.fields ? "num_local_experts" : "num_experts";
  return { ...rest, [key]: a ?? b };
}

function camelCased(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const camel = (key: string) =>
    key.replace(/(?<=[a-z0-9])_([a-z0-9])/g, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [camel(key), value]));
}

function isIndex(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isLayerType(value: unknown): value is "full_attention" | "sliding_attention" {
  return value === "full_attention" || value === "sliding_attention";
}
