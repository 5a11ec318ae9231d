import { ConfigError } from "../core/errors.ts";
import { isObject } from "../io/json.ts";
import type { ConfigReader } from "./config_reader.ts";

/** Rotary position embedding as transformers v5 writes it, field names camelCased; factors only where the type has them. */
export interface RopeParameters {
  readonly ropeType: "default" | "linear" | "llama3" | "yarn";
  readonly ropeTheta: number;
  /** How many times longer the context became. */
  readonly factor: number;
  /** Context length, in tokens, before it became longer. */
  readonly originalMaxPositionEmbeddings: number;
  readonly lowFreqFactor: number;
  readonly highFreqFactor: number;
  readonly betaFast: number;
  readonly betaSlow: number;
  readonly attentionFactor: number;
  /** YaRN: whether the ramp's ends are rounded outwards to whole dimensions. */
  readonly truncate: boolean;
}

const kRopeTypes = ["default", "linear", "llama3", "yarn"] as const;

/**
 * Reads rope fields of either style: `rope_parameters` (v5), or `rope_theta` and `rope_scaling` (v4), where the type
 * may be called `type`.
 */
export function readRope(config: ConfigReader, maxPositionEmbeddings: number): RopeParameters {
  const key = Object.keys(config.value("rope_scaling") ?? {}).length > 0 ? "rope_scaling" : "rope_parameters";
  const given = config.value(key) ?? {};
  if (!isObject(given)) return config.refuse(key, "an object");
  const ropeType = (given.rope_type ?? given.type ?? "default") as RopeParameters["ropeType"];
  if (!kRopeTypes.includes(ropeType)) {
    const message = `${config.where}: ${key} says rope_type ${JSON.stringify(ropeType)}; this build knows ${kRopeTypes.join(", ")}.`;
    throw new ConfigError(message, key);
  }
  const nested = Object.keys(given).find((name) => isObject(given[name]));
  if (nested !== undefined) {
    const message = `${config.where}: ${key} has settings of its own for ${nested}; this build knows one rope for all layers.`;
    throw new ConfigError(message, key);
  }
  const number = (name: string, otherwise?: number): number => {
    const found = given[name] ?? otherwise;
    if (typeof found === "number" && found > 0 && Number.isFinite(found)) return found;
    const message = `${config.where}: ${key} of type ${ropeType} has ${name} ${JSON.stringify(found)}, it needs a number above 0.`;
    throw new ConfigError(message, key);
  };
  if (number("partial_rotary_factor", config.number("partial_rotary_factor")) !== 1) {
    const message = `${config.where}: ${key} has partial_rotary_factor ${given.partial_rotary_factor}; this build turns whole heads only.`;
    throw new ConfigError(message, "partial_rotary_factor");
  }
  const scaled = ropeType !== "default";
  const original = number("original_max_position_embeddings", maxPositionEmbeddings);
  const factor = scaled
    ? number("factor", ropeType === "yarn" ? maxPositionEmbeddings / original : undefined)
    : 1;
  const mscale = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  const bothScales = Boolean(given.mscale && given.mscale_all_dim);
  const yarnFactor = bothScales ? mscale(number("mscale")) / mscale(number("mscale_all_dim")) : mscale(1);
  return {
    ropeType,
    ropeTheta: number("rope_theta", config.number("rope_theta", true)),
    factor,
    originalMaxPositionEmbeddings: original,
    lowFreqFactor: ropeType === "llama3" ? number("low_freq_factor") : 1,
    highFreqFactor: ropeType === "llama3" ? number("high_freq_factor") : 1,
    betaFast: number("beta_fast", 32),
    betaSlow: number("beta_slow", 1),
    attentionFactor: ropeType === "yarn" ? number("attention_factor", yarnFactor) : 1,
    truncate: given.truncate !== false,
  };
}

/**
 * Angle per position of each pair of a head's dimensions (i and i + headDim/2), [headDim / 2] radians per token; and the
 * factor that cos and sin are multiplied by. Rules of transformers' modeling_rope_utils.py, computed in double.
 */
export function inverseFrequencies(config: {
  readonly headDim: number;
  readonly ropeParameters: RopeParameters;
}): {
  invFreq: Float64Array;
  attentionFactor: number;
} {
  const { headDim, ropeParameters: rope } = config;
  const plain = Float64Array.from({ length: headDim / 2 }, (_, i) => rope.ropeTheta ** ((-2 * i) / headDim));
  const invFreq = plain.map((frequency, i) => {
    if (rope.ropeType === "linear") return frequency / rope.factor;
    if (rope.ropeType === "llama3") return mixed(frequency, rope.factor, llama3Kept(frequency, rope));
    if (rope.ropeType === "yarn") return mixed(frequency, rope.factor, yarnKept(i, headDim, rope));
    return frequency;
  });
  return { invFreq, attentionFactor: rope.attentionFactor };
}

/** `kept` of the frequency as it is, the rest stretched by the factor. */
function mixed(frequency: number, factor: number, kept: number): number {
  return kept * frequency + ((1 - kept) * frequency) / factor;
}

/** Llama 3.1: waves that fit the original context `highFreqFactor` times stay, those that fit less than `low` don't. */
function llama3Kept(frequency: number, rope: RopeParameters): number {
  const turns = (rope.originalMaxPositionEmbeddings * frequency) / (2 * Math.PI);
  return clamp((turns - rope.lowFreqFactor) / (rope.highFreqFactor - rope.lowFreqFactor));
}

/** YaRN (Peng et al. 2023, §3.2): a ramp over the dimensions between those that turn betaFast and betaSlow times. */
function yarnKept(i: number, headDim: number, rope: RopeParameters): number {
  const dimensionOf = (turns: number) =>
    (headDim * Math.log(rope.originalMaxPositionEmbeddings / (turns * 2 * Math.PI))) /
    (2 * Math.log(rope.ropeTheta));
  const [fast, slow] = [dimensionOf(rope.betaFast), dimensionOf(rope.betaSlow)];
  const low = Math.max(rope.truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(rope.truncate ? Math.ceil(slow) : slow, headDim - 1);
  return 1 - clamp((i - low) / (high === low ? 0.001 : high - low));
}

function clamp(x: number): number {
  return Math.min(1, Math.max(0, x));
}
