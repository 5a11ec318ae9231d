import { refuseUnknown } from "../core/options.ts";
import type { Model } from "../models/model.ts";
import { Decoding, type Feed } from "./decoding.ts";
import type { FinishReason } from "./generate.ts";
import { growthOf, readSampling, type SamplingOptions, samplingKeys } from "./options.ts";

export interface GenerateBatchOptions extends SamplingOptions {
  /** Token ids that end a sequence. Default: those of the model's generation_config.json, or else config.json. */
  stop?: readonly number[];
}

/** New tokens of each prompt, a stop token included. */
export interface GeneratedBatch {
  tokens: number[][];
  finished: FinishReason[];
  /** Of each token, where asked for. */
  logProbs?: number[][];
}

/**
 * Continues many prompts of token ids at once: all prompts in one packed pass, then a token a step for each sequence that
 * has not ended. Equal prompts draw different tokens (unless temperature is 0). The cache takes
 * Σ (prompt + new tokens) rows a layer until the last sequence ends. Throws ConfigError for options that are unknown or
 * out of range.
 */
export async function generateBatch(
  model: Model,
  prompts: readonly (readonly number[])[],
  options: GenerateBatchOptions = {},
): Promise<GeneratedBatch> {
  refuseUnknown("generateBatch", options, samplingKeys);
  const { maxNewTokens, sampling } = readSampling("generateBatch", options);
  const { signal, stop = model.origin?.eosTokenIds ?? [model.config.eosTokenId ?? []].flat() } = options;
  const limits = growthOf("generateBatch", model, prompts, maxNewTokens);
  signal?.throwIfAborted();
  const tokens: number[][] = prompts.map(() => []);
  const logProbs: number[][] = prompts.map(() => []);
  const finished: FinishReason[] = prompts.map(() => "length");
  const decoding = new Decoding(
    model,
    prompts.map((prompt, i) => prompt.length + limits[i]!),
    sampling,
  );
  try {
    let live: Feed[] = prompts.map((prompt, sequence) => ({ sequence, tokens: prompt }));
    while (live.length > 0) {
      const draws = await decoding.extend(live);
      signal?.throwIfAborted();
      live = live.flatMap(({ sequence }, i) => {
        const { token, logProb } = draws[i]!;
        tokens[sequence]!.push(token);
        if (logProb !== undefined) logProbs[sequence]!.push(logProb);
        if (stop.includes(token)) finished[sequence] = "stop";
        else if (tokens[sequence]!.length < limits[sequence]!) return [{ sequence, tokens: [token] }];
        return [];
      });
    }
  } finally {
    decoding.dispose();
  }
  return { tokens, finished, ...(sampling.logProbs && { logProbs }) };
}
