import path from "node:path";
import { type Device, device as openDevice } from "../../core/device.ts";
import { textBytes } from "../../data/corpus.ts";
import { openCorpus } from "../../data/open_corpus.ts";
import { packedBatches, sequentialBatches } from "../../data/packed_batches.ts";
import { openTokenFile } from "../../data/token_file.ts";
import { createModel } from "../../models/create.ts";
import type { Model } from "../../models/model.ts";
import { type Question, readQuestions } from "../../text/choices.ts";
import type { TokenBatch } from "../../text/token_batch.ts";
import { loadTokenizer, type Tokenizer } from "../../text/tokenizer.ts";
import { evaluateText } from "../../train/evaluate.ts";
import { evaluateChoices } from "../../train/multiple_choice.ts";
import { pretrain } from "../../train/pretrain.ts";
import { optimizerOf } from "../method.ts";
import { pointsOf } from "../settings.ts";
import type { AblationPoint } from "./results.ts";
import type { AblationSettings } from "./settings.ts";

/** What every model of an ablation is measured on, read once. */
export interface Yardstick {
  measure(model: Model): Promise<Pick<AblationPoint, "bitsPerByte" | "choices">>;
}

/** Reads the held-out texts and the questions. Documents are cut at `maxLength` tokens, as in training. */
export async function openYardstick(
  { heldOut, choices, questions, batchTokens }: AblationSettings,
  tokenizer: Tokenizer,
  maxLength: number,
): Promise<Yardstick> {
  const texts: { name: string; batches: TokenBatch[]; bytes: number }[] = [];
  for (const [name, file] of Object.entries(heldOut)) {
    const corpus = await openCorpus(file, tokenizer);
    try {
      const batches = await sequentialBatches(corpus, { batchTokens, maxLength });
      texts.push({ name, batches, bytes: await textBytes(corpus, tokenizer) });
    } finally {
      await corpus.close?.();
    }
  }
  const tasks: { name: string; asked: Question[] }[] = [];
  for (const [name, file] of Object.entries(choices))
    tasks.push({ name, asked: (await readQuestions(file)).slice(0, questions) });
  return {
    measure: async (model) => {
      const bitsPerByte: Record<string, number> = {};
      for (const { name, batches, bytes } of texts)
        bitsPerByte[name] = (await evaluateText(model, batches, bytes)).bitsPerByte;
      const scores: Record<string, AblationPoint["choices"][string]> = {};
      for (const { name, asked } of tasks) {
        const { accuracy, accuracyNorm, chance } = await evaluateChoices(model, tokenizer, asked, {
          batchTokens,
        });
        scores[name] = { accuracy, accuracyNorm, chance };
      }
      return { bitsPerByte, choices: scores };
    },
  };
}

/** A config for createModel: the tokenizer's vocabulary where none is given. */
export const configOf = ({ model }: AblationSettings, tokenizer: Tokenizer): Record<string, unknown> => ({
  vocab_size: tokenizer.vocabSize,
  ...model,
});

/**
 * Trains a new model on `steps` batches of a variant's tokens, documents in the seed's order, and measures it at each point,
 * the ones that `before` has left out. `save` is called after each, a checkpoint of the same step being there. Undefined: the
 * signal came before the end.
 */
export async function trainVariant(
  settings: AblationSettings,
  run: { tokenFile: string; dir: string; steps: number; seed: number; before: readonly AblationPoint[] },
  save: (points: readonly AblationPoint[]) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<AblationPoint[] | undefined> {
  const { batchTokens, threads, lr, points: count } = settings;
  const { steps, seed } = run;
  const device: Device = await openDevice(settings.device, threads === undefined ? {} : { threads });
  try {
    const tokenizer = await loadTokenizer(settings.tokenizer);
    const model = createModel(configOf(settings, tokenizer), { device, seed });
    const maxLength = Math.min(model.config.maxPositionEmbeddings, batchTokens);
    const yardstick = await openYardstick(settings, tokenizer, maxLength);
    const corpus = await openTokenFile(run.tokenFile);
    const points = [...run.before];
    try {
      for (const step of pointsOf({ steps, points: Math.min(count, steps) }).slice(points.length)) {
        const training = pretrain({
          model,
          data: packedBatches(corpus, { batchTokens, maxLength, seed }),
          optimizer: optimizerOf({ ...settings, schedule: "cosine", steps }, { lr }),
          seed,
          steps: step,
          auxLossCoef: model.config.routerAuxLossCoef,
          checkpoint: { dir: path.join(run.dir, "checkpoints"), every: 500, keep: 1, resume: true },
          ...(signal && { signal }),
        });
        for await (const _ of training) if (signal?.aborted) break;
        if (signal?.aborted) return undefined;
        points.push({ step, tokens: step * batchTokens, ...(await yardstick.measure(model)) });
        await save(points);
      }
      return points;
    } finally {
      await corpus.close?.();
      model.dispose();
    }
  } finally {
    device.close();
  }
}
