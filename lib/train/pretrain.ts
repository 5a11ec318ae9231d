import { sourceOf, type TrainingData } from "./batch_source.ts";
import { type LanguageModelTrainOptions, trainLanguageModel } from "./language_model.ts";
import type { StepMetrics } from "./metrics.ts";

export interface PretrainOptions extends LanguageModelTrainOptions {
  data: TrainingData;
}

/**
 * Trains a language model on packed tokens: `for await (const m of pretrain({ … })) …`, one object per update, one step
 * late. `break` ends it; so does the signal, after saving. Throws DeviceError, with step and module, for a loss or gradient
 * that isn't finite: the parameters are those before that step, and the last checkpoint stays.
 */
export function pretrain({ data, ...rest }: PretrainOptions): AsyncGenerator<StepMetrics, void, void> {
  return trainLanguageModel({ ...rest, name: "pretrain", source: sourceOf(data) });
}
