import { ConfigError } from "../core/errors.ts";
import type { Model } from "../models/model.ts";

/** How tokens are drawn. The same prompts, options and seed give the same tokens. */
export interface SamplingOptions {
  /** Most new tokens a prompt. Default 256; prompt and answer together never pass max_position_embeddings. */
  maxNewTokens?: number;
  /** 0: always the most probable token. Default 1. */
  temperature?: number;
  /** Only the smallest set of tokens whose probability reaches topP. Default 1: all. */
  topP?: number;
  /** Only the topK most probable tokens. Default 0: all. */
  topK?: number;
  /** Default 0. */
  seed?: number;
  /** Ends the work between two tokens; the signal's reason is thrown. */
  signal?: AbortSignal;
  /** Also give each token's log-probability under the model, whatever temperature, topP and topK are. Default false. */
  logProbs?: boolean;
}

export const samplingKeys = [
  "maxNewTokens",
  "temperature",
  "topP",
  "topK",
  "seed",
  "signal",
  "logProbs",
  "stop",
] as const;

/** The part of the options that each draw takes. */
export interface Sampling {
  temperature: number;
  topP: number;
  topK: number;
  seed: number;
  logProbs: boolean;
}

/** Checks the options, and fills in what isn't given. */
export function readSampling(
  where: string,
  options: SamplingOptions,
): { maxNewTokens: number; sampling: Sampling } {
  const { maxNewTokens = 256, temperature = 1, topP = 1, topK = 0, seed = 0, logProbs = false } = options;
  const need = (fits: boolean, key: string, value: unknown, needed: string): void => {
    if (!fits) throw new ConfigError(`${where}: ${key} is ${value}, ${needed} was needed`, key);
  };
  const whole = (value: number, least: number): boolean => Number.isSafeInteger(value) && value >= least;
  need(whole(maxNewTokens, 1), "maxNewTokens", maxNewTokens, "a whole number from 1");
  need(Number.isFinite(temperature) && temperature >= 0, "temperature", temperature, "a number from 0");
  need(topP > 0 && topP <= 1, "topP", topP, "a number above 0 up to 1");
  need(whole(topK, 0), "topK", topK, "a whole number from 0");
  need(whole(seed, 0), "seed", seed, "a whole number from 0");
  return { maxNewTokens, sampling: { temperature, topP, topK, seed, logProbs } };
}

/** How many tokens each prompt may grow by. Throws ConfigError for a prompt that is empty or fills the context. */
export function growthOf(
  where: string,
  model: Model,
  prompts: readonly (readonly number[])[],
  maxNewTokens: number,
): number[] {
  model.requireLive(where);
  const { maxPositionEmbeddings } = model.config;
  return prompts.map((prompt, i) => {
    if (prompt.length === 0)
      throw new ConfigError(`${where}: prompt ${i} is empty, at least one token was needed`, "prompt");
    if (prompt.length >= maxPositionEmbeddings) {
      throw new ConfigError(
        `${where}: prompt ${i} has ${prompt.length} tokens, the model's context holds ${maxPositionEmbeddings}, answer included`,
        "prompt",
      );
    }
    return Math.min(maxNewTokens, maxPositionEmbeddings - prompt.length);
  });
}
