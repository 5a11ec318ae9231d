import { textBytes } from "../data/corpus.ts";
import { openCorpus } from "../data/open_corpus.ts";
import { sequentialBatches } from "../data/packed_batches.ts";
import type { Model } from "../models/model.ts";
import type { TokenBatch } from "../text/token_batch.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { evaluateText } from "../train/evaluate.ts";
import type { DomainLoss, DomainLosses } from "./results.ts";
import type { StudySettings } from "./settings.ts";

/** The held-out texts as batches. */
export interface HeldOut {
  measure(model: Model): Promise<DomainLosses>;
}

/** Reads both held-out texts, cut as in training: to the model's positions and the tokens of a batch. */
export async function openHeldOut(
  { newHeldOut, oldHeldOut, batchTokens }: StudySettings,
  model: Model,
  tokenizer: Tokenizer,
): Promise<HeldOut> {
  const maxLength = Math.min(model.config.maxPositionEmbeddings, batchTokens);
  const read = async (file: string): Promise<(model: Model) => Promise<DomainLoss>> => {
    const corpus = await openCorpus(file, tokenizer);
    let batches: TokenBatch[];
    let bytes: number;
    try {
      batches = await sequentialBatches(corpus, { batchTokens, maxLength });
      bytes = await textBytes(corpus, tokenizer);
    } finally {
      await corpus.close?.();
    }
    return async (measured) => {
      const { loss, bitsPerByte } = await evaluateText(measured, batches, bytes);
      return { loss, bitsPerByte };
    };
  };
  const [ofNew, ofOld] = [await read(newHeldOut), await read(oldHeldOut)];
  return { measure: async (measured) => ({ new: await ofNew(measured), old: await ofOld(measured) }) };
}
