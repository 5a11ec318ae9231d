import { ConfigError, MixwrightError } from "../core/errors.ts";
import { scope } from "../core/scope.ts";
import { disposeAll, withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Model } from "../models/model.ts";
import { type TokenBatch, targetCount } from "../text/token_batch.ts";
import { lossParts } from "./loss.ts";

/**
 * Mean cross-entropy (nats) over all targets of `batches`. Throws ConfigError if there are none, MixwrightError if the
 * result is no finite number.
 */
export async function evaluateLoss(model: Model, batches: readonly TokenBatch[]): Promise<number> {
  let sum = 0;
  let targets = 0;
  for (const batch of batches) {
    const n = targetCount(batch);
    if (n === 0) continue;
    const mean = withoutGrad(() => scope(() => lossParts(model, batch).crossEntropy));
    sum += (await disposed(mean)) * n;
    targets += n;
  }
  if (targets === 0)
    throw new ConfigError("evaluateLoss: no token to predict, at least one was needed", "batches");
  const loss = sum / targets;
  if (Number.isFinite(loss)) return loss;
  throw new MixwrightError(
    `evaluateLoss: the loss of ${targets} tokens is ${loss}, a finite number was needed. The model's weights may be damaged`,
  );
}

/** How well a model predicts a text. */
export interface TextEvaluation {
  /** Mean cross-entropy a token, in nats. */
  loss: number;
  perplexity: number;
  /** Comparable between tokenizers: all the loss there is, over the bytes of the text. */
  bitsPerByte: number;
  /** Tokens that were predicted. */
  tokens: number;
}

/** Measures `batches`, whose documents are `bytes` of text. Throws ConfigError if there is nothing to predict. */
export async function evaluateText(
  model: Model,
  batches: readonly TokenBatch[],
  bytes: number,
): Promise<TextEvaluation> {
  const tokens = batches.reduce((sum, batch) => sum + targetCount(batch), 0);
  if (tokens === 0 || bytes === 0) {
    throw new ConfigError(
      `evaluateText: ${bytes} bytes of text with ${tokens} tokens to predict, at least one of each was needed`,
      "data",
    );
  }
  const loss = await evaluateLoss(model, batches);
  return { loss, perplexity: Math.exp(loss), bitsPerByte: (loss * tokens) / Math.LN2 / bytes, tokens };
}

async function disposed(scalar: Tensor): Promise<number> {
  try {
    return await scalar.item();
  } finally {
    scalar.dispose();
  }
}

/** Share of the routed tokens of a batch that each expert took, [layers][experts]: 1/E each when balanced. */
export async function expertLoad(model: Model, batch: TokenBatch): Promise<number[][]> {
  const layers = model.routing(batch);
  try {
    const E = model.config.numExperts;
    return await Promise.all(
      layers.map(async ({ experts }) => {
        const load = new Array<number>(E).fill(0);
        const chosen = await experts.data();
        for (const expert of chosen) load[expert]! += 1 / chosen.length;
        return load;
      }),
    );
  } finally {
    disposeAll(layers);
  }
}
