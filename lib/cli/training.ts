import path from "node:path";
import { z } from "zod";
import { openCorpus } from "../data/open_corpus.ts";
import { sequentialBatches } from "../data/packed_batches.ts";
import {
  createModel,
  type Device,
  loadModel,
  loadTokenizer,
  type Model,
  type StepMetrics,
  type Tokenizer,
} from "../index.ts";
import { filesOf, hasWeights } from "../models/describe.ts";
import { readConfigFile } from "../models/load.ts";
import type { TrainOptions } from "../train/loop.ts";
import { checkRunFolder, openRunFolder, readRunRecord } from "../train/run_folder.ts";
import { dtypeOption, openDevice, threadsOption } from "./device.ts";
import { onInterrupt } from "./interrupt.ts";
import { optimizerFrom, optimizerOptions } from "./optimizer_options.ts";
import { type Command, filePath, jsonOption } from "./options.ts";
import { note } from "./output.ts";
import { showProgress } from "./progress.ts";
import { versions } from "./versions.ts";

/** What every trainer takes. */
export const trainingOptions = {
  out: filePath().describe("folder of the run: result, metrics.jsonl, checkpoints, run.json"),
  steps: z.int().min(1).describe("updates to do in all"),
  batchTokens: z.int().min(1).default(4096).describe("tokens of a batch"),
  seed: z.int().min(0).default(0).describe("decides order of data, dropout, initial weights"),
  checkpointEvery: z.int().min(0).default(500).describe("updates between checkpoints; 0: at the end only"),
  resume: z
    .boolean()
    .default(false)
    .describe("go on with the run in --out; its settings need not be given again"),
  accumulationSteps: z.int().min(1).default(1).describe("batches for one update"),
  recompute: z
    .boolean()
    .default(false)
    .describe("run layers again in the backward pass: less memory, more time"),
  validation: filePath().optional().describe("text or token file to measure the loss on"),
  validateEvery: z.int().min(1).optional().describe("updates between validations; default: at the end only"),
  ...optimizerOptions,
  ...dtypeOption,
  ...threadsOption,
  ...jsonOption,
};
type Options = z.output<z.ZodObject<typeof trainingOptions>> & { model: string };

/** Settings that may differ when a run goes on: they don't change what it computes. */
const kFree = ["checkpointEvery", "recompute", "threads", "validateEvery", "validation"];
/** Settings that say how to call, not what to do. */
const kUnrecorded = ["json", "out", "resume"];

/** A resumed run has the settings it was started with. */
export const earlierSettings: Command["earlier"] = async ({ resume, out }) => {
  if (resume !== true || typeof out !== "string") return undefined;
  const record = await readRunRecord(path.resolve(out));
  return record && { from: path.join(out, "run.json"), settings: record.settings };
};

/** What a trainer is given, and what it gives back. */
type Begin = (context: {
  model: Model;
  tokenizer: Tokenizer;
  /** Options of the loop, those that all trainers have. */
  loop: Omit<TrainOptions, "model">;
}) => Promise<{ steps: AsyncIterable<StepMetrics>; save: () => Promise<void> }>;

/**
 * A run from its folder to its result. The first Ctrl-C ends it after the running step, with a checkpoint and exit code 130.
 */
export async function train(name: string, options: Options, begin: Begin): Promise<void> {
  const { out, steps, resume } = options;
  await checkRunFolder(name, out, resume);
  const optimizer = optimizerFrom(options);
  using device = await openDevice(options.threads);
  const model = await openModel(options, device);
  const tokenizer = await loadTokenizer(options.model);
  const settings = Object.fromEntries(Object.entries(options).filter(([key]) => !kUnrecorded.includes(key)));
  const interrupt = onInterrupt("Stopping after this step. Once more to stop at once.");
  const { signal } = interrupt;
  const run = await begin({
    model,
    tokenizer,
    loop: {
      optimizer,
      steps,
      seed: options.seed,
      accumulationSteps: options.accumulationSteps,
      checkpoint: { dir: path.join(out, "checkpoints"), every: options.checkpointEvery, resume: true },
      ...(await validationOf(options, model, tokenizer)),
      signal,
    },
  });
  const folder = await openRunFolder(out, { command: name, settings, versions: versions() }, kFree);
  const progress = showProgress(steps, options.json);
  let done = 0;
  try {
    for await (const m of run.steps) {
      folder.log(m);
      progress.step(m);
      done = m.step;
    }
  } finally {
    progress.end();
    folder.close();
    interrupt.end();
  }
  if (signal.aborted && done < steps) {
    note(`Stopped after step ${done} of ${steps}. Go on: mixwright ${name} --resume --out ${out}`);
    process.exitCode = 130;
    return;
  }
  await run.save();
  if (!options.json) process.stdout.write(`saved in ${out}\n`);
}

/** The model of a folder; with random weights if the folder has only a config. */
async function openModel({ model: dir, seed, dtype }: Options, device: Device): Promise<Model> {
  const config = await readConfigFile(dir);
  if (hasWeights(await filesOf(dir))) return loadModel(dir, { device, dtype });
  note(`${dir} has no weights: they start at random, by seed ${seed}`);
  return createModel(config, { device, seed, dtype });
}

async function validationOf(
  { validation: file, validateEvery, steps, batchTokens }: Options,
  model: Model,
  tokenizer: Tokenizer,
): Promise<Pick<TrainOptions, "validation">> {
  if (file === undefined) return {};
  const maxLength = model.config.maxPositionEmbeddings;
  const batches = await sequentialBatches(await openCorpus(file, tokenizer), { batchTokens, maxLength });
  return { validation: { every: validateEvery ?? steps, sets: { validation: batches } } };
}
