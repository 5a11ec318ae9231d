import { rm } from "node:fs/promises";
import path from "node:path";
import { ConfigError, PipelineError } from "../core/errors.ts";
import { checkWhole, refuseUnknown } from "../core/options.ts";
import { type Outcome, PipelineThread } from "./pipeline_pool.ts";
import { identityOf, PipelineState } from "./pipeline_state.ts";
import { isRegistered, notJson } from "./registry.ts";
import {
  failureOf,
  runTask,
  stepLabels,
  type Task,
  type TaskFailure,
  type TaskProgress,
} from "./run_task.ts";
import type { Share } from "./share.ts";
import type { Reader, Step, StepDescription, Writer } from "./step.ts";
import { type Counts, sumCounts } from "./task_counts.ts";
import { refuseInputs, refuseSurplus, removeLeftovers } from "./task_outputs.ts";

export interface RunOptions {
  /** Shares of the input; task t reads files t, t + tasks, …, and writes its own outputs. Default: one for each file. */
  readonly tasks?: number | undefined;
  /** Tasks at once, on as many threads. With 1, the default, everything runs on the calling thread. */
  readonly workers?: number | undefined;
  /**
   * Folder that remembers which tasks are through: a rerun skips them. Without it every run begins anew. Several processes may
   * use one at a time with different shares; a second one with the same share is refused.
   */
  readonly state?: string | undefined;
  /** Folder for what is dropped: `<step>/<reason>/<task>.jsonl.gz`. Without it dropped documents are only counted. */
  readonly rejected?: string | undefined;
  /** This process's part of the tasks, when several processes share them: those with t % of = rank. */
  readonly share?: Share | undefined;
  /** Stops the run: tasks that are under way leave nothing, those that are through stay. */
  readonly signal?: AbortSignal | undefined;
  /** Called some ten times a second for each task under way, and when one ends. */
  readonly onProgress?: ((progress: RunProgress) => void) | undefined;
}

export interface RunProgress extends TaskProgress {
  readonly state: "running" | "done" | "failed";
  /** Tasks of this process that are through, and how many it has. */
  readonly done: number;
  readonly tasks: number;
}

/** What became of the documents of this process's tasks, those that were through before included. */
export interface PipelineReport extends Counts {
  readonly tasks: {
    readonly total: number;
    /** Run now, and found through already. */
    readonly run: number;
    readonly skipped: number;
    /** Left to other processes. */
    readonly elsewhere: number;
  };
  readonly seconds: number;
}

export interface Pipeline {
  readonly steps: readonly StepDescription[];
  /**
   * Runs all tasks. A task that fails leaves no output, and the others go on.
   * @throws PipelineError, at the end, naming the tasks that failed; ConfigError for a state of another pipeline, and for
   * steps that can't run on threads, or while another process has the share; the signal's reason if that aborts. A rerun with
   * the same state goes on.
   */
  run(options?: RunOptions): Promise<PipelineReport>;
}

/** A reader and the steps that its documents go through, one document at a time. */
export function pipeline(steps: readonly [Reader, ...Step[]]): Pipeline {
  const [reader, ...others] = steps;
  if (typeof reader?.files !== "function" || others.some((step) => typeof step?.run !== "function")) {
    const wrong = typeof reader?.files !== "function" ? 0 : 1 + others.findIndex((step) => !step?.run);
    throw new ConfigError(
      `pipeline: step ${wrong + 1} is ${nameOf(steps[wrong])}, ${wrong === 0 ? "a reader (read.jsonl, …)" : "a step"} was needed`,
      "steps",
    );
  }
  const descriptions = steps.map(({ description }) => description);
  return { steps: descriptions, run: (options = {}) => runPipeline(reader, others, options) };
}

const nameOf = (step: Reader | Step | undefined): string => step?.description?.step ?? typeof step;

async function runPipeline(
  reader: Reader,
  steps: readonly Step[],
  options: RunOptions,
): Promise<PipelineReport> {
  const all = [reader, ...steps];
  const { workers, share, signal } = settingsOf(options);
  if (workers > 1) requireRemakeable(all.map(({ description }) => description));
  const rejected = rejectedOf(steps, options);
  signal.throwIfAborted();
  const files = await reader.files();
  refuseInputs("pipeline", outputFolders(steps, rejected), files);
  const { tasks = files.length } = options;
  const identity = await identityOf(
    all.map(({ description }) => description),
    { tasks, rejected, files },
  );
  const state = options.state === undefined ? undefined : await PipelineState.open(options.state, identity);
  await refuseSurplus(outputFolders(steps, rejected), tasks);
  const unlock = await state?.lock(share);
  try {
    return await runShare(reader, steps, { files, tasks, rejected, state, workers, share, signal }, options);
  } finally {
    await unlock?.();
  }
}

interface ShareOfRun {
  readonly files: readonly string[];
  readonly tasks: number;
  readonly rejected: string | undefined;
  readonly state: PipelineState | undefined;
  readonly workers: number;
  readonly share: Share;
  readonly signal: AbortSignal;
}

/** Runs the tasks of this process, which has its share of the state for itself. */
async function runShare(
  reader: Reader,
  steps: readonly Step[],
  { files, tasks, rejected, state, workers, share, signal }: ShareOfRun,
  options: RunOptions,
): Promise<PipelineReport> {
  const begun = performance.now();
  const all = [reader, ...steps];
  const mine = Array.from({ length: tasks }, (_, t) => t).filter((t) => t % share.of === share.rank);

  const counts: Counts[] = [];
  const failures: TaskFailure[] = [];
  const waiting: number[] = [];
  for (const task of mine) {
    const done = await state?.completed(task);
    if (!done) waiting.push(task);
    else {
      counts.push(done);
      await rm(state!.journal(task), { force: true }); // where a kill came between the two
    }
  }
  const skipped = counts.length;
  const left = [...waiting];
  const report = (progress: TaskProgress, state: RunProgress["state"]): void =>
    options.onProgress?.({ ...progress, state, done: counts.length, tasks: mine.length });

  const work = async (): Promise<void> => {
    const thread = workers > 1 ? new PipelineThread(all.map(({ description }) => description)) : undefined;
    try {
      for (let t = left.shift(); t !== undefined; t = left.shift()) {
        signal.throwIfAborted();
        const journal = state?.journal(t);
        if (journal !== undefined) await removeLeftovers(journal);
        const task: Task = {
          task: t,
          tasks,
          files: everyNth(files, t, tasks),
          rejected,
          journal,
        };
        let last: TaskProgress = { task: t, read: 0, kept: 0, bytes: 0, seconds: 0 };
        const onProgress = (progress: TaskProgress): void => {
          last = progress;
          report(progress, "running");
        };
        const outcome = thread
          ? await thread.run(task, { signal, onProgress })
          : await runHere(reader, steps, task, { signal, onProgress });
        if ("counts" in outcome) {
          await state?.complete(t, outcome.counts);
          counts.push(outcome.counts);
        } else failures.push(outcome.failure);
        if (journal !== undefined) {
          if ("counts" in outcome) await rm(journal, { force: true });
          else await removeLeftovers(journal); // a thread that died left its files
        }
        report(last, "counts" in outcome ? "done" : "failed");
      }
    } finally {
      await thread?.close();
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: Math.min(workers, waiting.length) }, work));
  for (const one of ended) if (one.status === "rejected") throw one.reason;
  if (failures.length > 0) throw failed(failures, waiting.length, options.state);
  return {
    ...sumCounts(stepLabels(all), counts),
    tasks: { total: tasks, run: waiting.length, skipped, elsewhere: tasks - mine.length },
    seconds: (performance.now() - begun) / 1000,
  };
}

async function runHere(
  reader: Reader,
  steps: readonly Step[],
  task: Task,
  options: { signal: AbortSignal; onProgress: (progress: TaskProgress) => void },
): Promise<Outcome> {
  try {
    return { counts: await runTask(reader, steps, task, options) };
  } catch (error) {
    if (options.signal.aborted) throw error;
    return { failure: failureOf(task.task, error) };
  }
}

function settingsOf(options: RunOptions) {
  refuseUnknown("pipeline", options, [
    "tasks",
    "workers",
    "state",
    "rejected",
    "share",
    "signal",
    "onProgress",
  ]);
  const { tasks, workers = 1, share = { rank: 0, of: 1 }, signal = new AbortController().signal } = options;
  checkWhole("pipeline", { workers, ...(tasks !== undefined && { tasks }), "share.of": share.of }, 1);
  checkWhole("pipeline", { "share.rank": share.rank }, 0);
  if (share.rank >= share.of)
    throw new ConfigError(
      `pipeline: share.rank is ${share.rank} of ${share.of}, a number below that was needed`,
      "share",
    );
  return { workers, share, signal };
}

/** One folder for what is dropped: the run's option, or that of a writer. */
function rejectedOf(steps: readonly Writer[], { rejected }: RunOptions): string | undefined {
  const all = [rejected, ...steps.map((step) => step.rejected)].filter((dir) => dir !== undefined);
  const folders = [...new Set(all.map((dir) => path.resolve(dir)))];
  if (folders.length <= 1) return folders[0];
  throw new ConfigError(`pipeline: rejected is ${folders.join(" and ")}, one folder was needed`, "rejected");
}

/** Throws ConfigError for steps that a thread couldn't make anew. */
function requireRemakeable(descriptions: readonly StepDescription[]): void {
  for (const description of descriptions) {
    const { step, options } = description;
    const what = isRegistered(description) ? notJson(options, "options") : "it is made of code of yours";
    if (what === undefined) continue;
    throw new ConfigError(
      `pipeline: step ${step} can't run on several threads: ${what}, a name and JSON options were needed. Put it into a file of its own for step.module(file, options), or set workers to 1`,
      "workers",
    );
  }
}

function failed(failures: readonly TaskFailure[], of: number, state: string | undefined): PipelineError {
  const shown = failures.slice(0, 3).map(({ task, step, document, file, message }) => {
    const place = [document && `document ${document}`, file && `file ${file}`].filter(Boolean).join(", ");
    return `task ${task}, ${step}${place ? ` (${place})` : ""}: ${message.replace(/\.$/, "")}`;
  });
  const more = failures.length > shown.length ? `; and ${failures.length - shown.length} more` : "";
  const wayOut = state === undefined ? "" : ". A rerun with the same state does these tasks again";
  return new PipelineError(
    `pipeline: ${failures.length} of ${of} tasks failed: ${shown.join("; ")}${more}${wayOut}.`,
    failures,
  );
}

/** Elements `from`, `from` + `step`, … */
function everyNth<T>(all: readonly T[], from: number, step: number): T[] {
  const found: T[] = [];
  for (let k = from; k < all.length; k += step) found.push(all[k]!);
  return found;
}

/** Where writers and statistics write, and the run itself. */
const outputFolders = (steps: readonly Step[], rejected: string | undefined): string[] =>
  [
    ...steps.map(({ description: { step, options } }) => /^(write|stats)\./.test(step) && options.dir),
    rejected,
  ].filter((dir) => typeof dir === "string");
