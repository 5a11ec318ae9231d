import path from "node:path";
import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import { tokenFilesOf } from "../data/open_corpus.ts";
import {
  type Corpus,
  type Device,
  loadTokenizer,
  openCorpus,
  type StepMetrics,
  type TokenBatch,
  type Tokenizer,
} from "../index.ts";
import { sha256OfFiles } from "../io/file_hash.ts";
import { targetCount } from "../text/token_batch.ts";
import type { TrainOptions } from "../train/loop.ts";
import { checkRunFolder, openRunFolder, readRunRecord, type WrittenSample } from "../train/run_folder.ts";
import { lockRunFolder } from "../train/run_lock.ts";
import { dtypeOption, openDevice, threadsOption } from "./device.ts";
import { onInterrupt } from "./interrupt.ts";
import { optimizerFrom, optimizerOptions, type RateWay } from "./optimizer_options.ts";
import { type Command, filePath, jsonOption, UsageError } from "./options.ts";
import { note } from "./output.ts";
import { showProgress } from "./progress.ts";
import { writeRunReport } from "./run_report.ts";
import { versions } from "./versions.ts";

/** What every run takes. */
export const runOptions = {
  out: filePath().describe("folder of the run: result, metrics.jsonl, checkpoints, run.json"),
  steps: z
    .int()
    .min(1)
    .describe("updates to do in all; more of them with --resume stretch the learning rate's way"),
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
  ...optimizerOptions,
  ...dtypeOption,
  ...threadsOption,
  ...jsonOption,
};

/** What runs take that measure on a file of its own. */
export const validationOptions = {
  validation: filePath().optional().describe("file like --data, to measure the loss on"),
  validateEvery: z.int().min(1).optional().describe("updates between validations; default: at the end only"),
};

/** What runs on tokens take. */
export const trainingOptions = {
  batchTokens: z.int().min(1).default(4096).describe("tokens of a batch"),
  ...validationOptions,
  ...runOptions,
};

type ValidationOptions = z.output<z.ZodObject<typeof validationOptions>>;
type Options = Omit<z.output<z.ZodObject<typeof runOptions>>, "schedule"> &
  Pick<ValidationOptions, "validateEvery"> & {
    model: string;
    data?: string | readonly string[] | undefined;
    validation?: string | readonly string[] | undefined;
    schedule: Parameters<typeof optimizerFrom>[0]["schedule"];
    loraPlusRatio?: number | undefined;
    /** Updates of a step are epochs · minibatches; 1 each where there are none. */
    epochs?: number;
    minibatches?: number;
  };

/** Settings that may differ when a run goes on: how far it goes, and what doesn't change the numbers. */
const kFree = [
  "checkpointEvery",
  "keepCheckpoints",
  "recompute",
  "samplesEvery",
  "steps",
  "threads",
  "validateEvery",
  "validation",
];
/** Settings that say how to call, not what to do. */
const kUnrecorded = ["json", "out", "resume"];

/**
 * A resumed run has the settings it was started with. With all that a first start needs, --resume may also be the first
 * start: a script that is killed and called again need not know how far it came.
 */
export const earlierSettings: Command["earlier"] = async ({ resume, out, model, data, steps }) => {
  if (resume !== true || typeof out !== "string") return undefined;
  const record = await readRunRecord(path.resolve(out));
  if (record) return { from: path.join(out, "run.json"), settings: record.settings };
  if (model !== undefined && data !== undefined && steps !== undefined) return undefined;
  throw new UsageError(`--resume: there is no run in ${out} to go on with`);
};

/** What a trainer is given. */
export interface Context {
  device: Device;
  tokenizer: Tokenizer;
  /** Opens a corpus that is closed when the run ends, however it does. */
  open(file: string): Promise<Corpus>;
  /** Options that all trainers take. */
  loop: Omit<TrainOptions, "model" | "params" | "validation">;
}

/** What a trainer gives: its steps, and what to do with the result. */
export interface Run {
  steps: AsyncIterable<StepMetrics>;
  save: () => Promise<void>;
  /** What the policy wrote in a step and is to be kept; asked once for each step. */
  written?: (step: number) => readonly WrittenSample[];
}

/** What a command with several files or phases says besides. */
interface More {
  /** Files of data. Default: those of `options.data`. */
  files?: readonly string[];
  rateWay?: RateWay;
}

/**
 * A run from its folder to its result. The first Ctrl-C ends it after the running step, with a checkpoint and exit code 130.
 */
export async function train(
  name: string,
  options: Options,
  begin: (context: Context) => Promise<Run>,
  more: More = {},
): Promise<void> {
  if (options.validateEvery !== undefined && options.validation === undefined)
    throw new UsageError(`${name}: --validate-every is given without --validation, the file to measure on`);
  const { out } = options;
  await checkRunFolder(name, out, options);
  const unlock = await lockRunFolder(name, out);
  const corpora: Corpus[] = [];
  const open = async (file: string, tokenizer: Tokenizer): Promise<Corpus> => {
    const corpus = await openCorpus(file, tokenizer);
    corpora.push(corpus);
    return corpus;
  };
  try {
    await trainIn(
      name,
      options,
      (context) => begin({ ...context, open: (file) => open(file, context.tokenizer) }),
      more,
    );
  } finally {
    for (const corpus of corpora) await corpus.close?.();
    await unlock();
  }
}

/** The run in a folder that is this process's own. */
async function trainIn(
  name: string,
  options: Options,
  begin: (context: Omit<Context, "open">) => Promise<Run>,
  { files = [options.data ?? []].flat(), rateWay }: More,
): Promise<void> {
  const { out, steps, seed, accumulationSteps, checkpointEvery: every } = options;
  const { epochs = 1, minibatches = 1 } = options;
  const optimizer = optimizerFrom(options, epochs * minibatches, rateWay);
  const tokenizer = await loadTokenizer(options.model);
  const dataSha256 = await sha256OfFiles((await Promise.all(files.map(filesOf))).flat());
  using device = await openDevice(options.threads);
  const interrupt = onInterrupt("Stopping after this step. Once more to stop at once.");
  const { signal } = interrupt;
  const checkpoint = { dir: path.join(out, "checkpoints"), every, resume: true };
  const loop = { optimizer, steps, seed, accumulationSteps, checkpoint, signal };
  const run = await begin({ device, tokenizer, loop });
  const settings = Object.fromEntries(Object.entries(options).filter(([key]) => !kUnrecorded.includes(key)));
  const folder = await openRunFolder(
    out,
    { command: name, settings, versions: versions(), dataSha256 },
    kFree,
  );
  const progress = showProgress(steps, options.json);
  let ended = 0;
  try {
    for await (const m of run.steps) {
      folder.log(m);
      for (const sample of run.written?.(m.step) ?? []) folder.keep(sample);
      progress.step(m);
      ended = m.step;
    }
  } finally {
    progress.end();
    folder.close();
    interrupt.end();
  }
  const stopped = signal.aborted && ended < steps;
  if (!stopped) await run.save();
  if (ended > 0) await writeRunReport(folder, name, settings);
  if (stopped) {
    const where = ended === 0 ? "before the first step" : `after step ${ended} of ${steps}`;
    note(`Stopped ${where}. Go on: mixwright ${name} --resume --out ${out}`);
    process.exitCode = 130;
    return;
  }
  if (!options.json) process.stdout.write(`saved in ${out}\n`);
}

/** The files of one of --data. A token file's documents are told apart by its index. */
async function filesOf(data: string): Promise<string[]> {
  const files = (await tokenFilesOf(data)) ?? [data];
  return files.flatMap((file) => (file.endsWith(".ds") ? [file, `${file}.index`] : [file]));
}

/** The trainers' option for `--validation`, whose batches `read` makes. */
export async function validationOf<B extends TokenBatch>(
  { validation: file, validateEvery, steps }: ValidationOptions & { steps: number },
  read: (file: string) => Promise<readonly B[]>,
): Promise<Pick<TrainOptions<B>, "validation">> {
  if (file === undefined) return {};
  const sets = { validation: requireTargets(file, await read(file)) };
  return { validation: { every: validateEvery ?? steps, sets } };
}

/** The batches of a validation file, as they are. Throws ConfigError if there is nothing to predict in them. */
export function requireTargets<B extends TokenBatch>(file: string, batches: readonly B[]): readonly B[] {
  if (batches.some((batch) => targetCount(batch) > 0)) return batches;
  throw new ConfigError(`--validation ${file}: it holds no token to predict`, "validation");
}
