import { type Corpus, textBytes } from "../data/corpus.ts";
import { openCorpus } from "../data/open_corpus.ts";
import { sequentialBatches } from "../data/packed_batches.ts";
import type { Model } from "../models/model.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { evaluateText } from "../train/evaluate.ts";
import type { DomainLoss, DomainLosses } from "./results.ts";
import type { StudySettings } from "./settings.ts";

/** The held-out texts as batches. */
export interface HeldOut {
  measure(model: Model): Promise<DomainLosses>;
}

/**
 * Reads the held-out texts, cut as in training: to the model's positions and the tokens of a batch. Without a text for choosing,
 * half of the new domain's is one.
 */
export async function openHeldOut(
  { newHeldOut, oldHeldOut, choiceHeldOut, batchTokens }: StudySettings,
  model: Model,
  tokenizer: Tokenizer,
): Promise<HeldOut> {
  type Measure = (model: Model) => Promise<DomainLoss>;
  const maxLength = Math.min(model.config.maxPositionEmbeddings, batchTokens);
  const measureOf = async (corpus: Corpus): Promise<Measure> => {
    const batches = await sequentialBatches(corpus, { batchTokens, maxLength });
    const bytes = await textBytes(corpus, tokenizer);
    return async (measured) => {
      const { loss, bitsPerByte } = await evaluateText(measured, batches, bytes);
      return { loss, bitsPerByte };
    };
  };
  const read = async (file: string, parts: (corpus: Corpus) => Corpus[]): Promise<Measure[]> => {
    const corpus = await openCorpus(file, tokenizer);
    try {
      const measures: Measure[] = [];
      for (const part of parts(corpus)) measures.push(await measureOf(part));
      return measures;
    } finally {
      await corpus.close?.();
    }
  };
  const whole = (corpus: Corpus): Corpus[] => [corpus];
  const [ofNew, ofChoice] =
    choiceHeldOut === undefined
      ? await read(newHeldOut, halves)
      : [...(await read(newHeldOut, whole)), ...(await read(choiceHeldOut, whole))];
  const [ofOld] = await read(oldHeldOut, whole);
  return {
    measure: async (measured) => ({
      choice: await ofChoice!(measured),
      new: await ofNew!(measured),
      old: await ofOld!(measured),
    }),
  };
}

/** Documents 0, 2, 4, … and 1, 3, 5, …; of a single document its first and its second half. */
export function halves(corpus: Corpus): Corpus[] {
  if (corpus.documents === 1) {
    const middle = Math.ceil(corpus.length(0) / 2);
    return [part(corpus, 0, middle), part(corpus, middle, corpus.length(0))];
  }
  return [0, 1].map((first) => ({
    documents: Math.ceil((corpus.documents - first) / 2),
    length: (i) => corpus.length(2 * i + first),
    document: (i, from, to) => corpus.document(2 * i + first, from, to),
  }));
}

/** Tokens [start, end) of the first document, as a corpus. */
const part = (corpus: Corpus, start: number, end: number): Corpus => ({
  documents: 1,
  length: () => end - start,
  document: (_, from = 0, to = end - start) => corpus.document(0, start + from, start + to),
});
