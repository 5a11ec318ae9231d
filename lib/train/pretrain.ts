import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import {
  type LanguageModelTrainOptions,
  languageModelTrainKeys,
  trainLanguageModel,
} from "./language_model.ts";
import type { StepMetrics } from "./metrics.ts";
import { DataOpener, type PretrainData } from "./open_data.ts";
import { type PhasePlan, planPhases } from "./phases.ts";

export interface PretrainOptions extends Omit<LanguageModelTrainOptions, "steps"> {
  /** Batches as they are, a source of them, a corpus, files, or a mixture of such (`mix`). Not with `phases`. */
  data?: PretrainData;
  /** Updates to do in all, those of a resumed checkpoint included: a run that is through goes on with more of them. Not with `phases`. */
  steps?: number;
  /** Datasets one after another. Schedules run across: they count the updates of all phases. */
  phases?: readonly PretrainPhase[];
  /** For text files. Default: that of the folder the model was loaded from. */
  tokenizer?: Tokenizer;
  /** For files and corpora: tokens of a batch. Default 4096. */
  batchTokens?: number;
  /** For them: longest piece of a document. Default: the positions of the model, and at most batchTokens. */
  maxLength?: number;
}

/** A phase of a run: it begins with the first batch of its data. */
export interface PretrainPhase {
  data: PretrainData;
  /** Updates of this phase. */
  steps: number;
  /**
   * At its begin: "keep" the optimizer's moments, or "reset" them, as Ibrahim et al. 2024 (arXiv 2403.08763) do between
   * datasets. Default "keep".
   */
  optimizer?: "keep" | "reset";
  /** What metrics call it. Default: "phase-1" by place. */
  name?: string;
}

const keys = [...languageModelTrainKeys, "data", "phases", "tokenizer", "batchTokens", "maxLength"];

/**
 * Trains a language model on packed tokens: `for await (const m of pretrain({ … })) …`, one object per update, one step
 * late. `break` ends it; so does the signal, after saving. Documents of files come in an order that `seed` decides, another
 * one in each epoch. Throws DeviceError, with step and module, for a loss or gradient that isn't finite: the parameters are
 * those before that step, and the last checkpoint stays.
 */
export async function* pretrain(options: PretrainOptions): AsyncGenerator<StepMetrics, void, void> {
  refuseUnknown("pretrain", options, keys);
  const { data, phases, steps, tokenizer, batchTokens = 4096, maxLength, ...rest } = options;
  const { model, seed = 0, accumulationSteps } = rest;
  const name = "pretrain";
  const opener = new DataOpener({ model, tokenizer, batchTokens, maxLength, seed });
  try {
    if (phases === undefined) {
      const source = await opener.open(data!);
      yield* trainLanguageModel({ ...rest, steps: steps!, name, source });
      return;
    }
    const plan = await openPhases(options, opener, phases, accumulationSteps);
    yield* trainLanguageModel({ ...rest, steps: plan.steps, name, source: plan.source, phases: plan });
  } finally {
    await opener.close();
  }
}

async function openPhases(
  { data, steps }: PretrainOptions,
  opener: DataOpener,
  phases: readonly PretrainPhase[],
  accumulationSteps: number | undefined,
): Promise<PhasePlan> {
  for (const [key, value] of Object.entries({ data, steps })) {
    if (value !== undefined)
      throw new ConfigError(`pretrain: ${key} is given beside phases, each of which has its own`, key);
  }
  const open = [];
  for (const [k, phase] of phases.entries()) {
    refuseUnknown(`pretrain, phase ${k + 1}`, phase, ["data", "steps", "optimizer", "name"]);
    const { optimizer = "keep", name = `phase-${k + 1}` } = phase;
    open.push({ name, steps: phase.steps, optimizer, source: await opener.open(phase.data) });
  }
  return planPhases(open, accumulationSteps);
}
