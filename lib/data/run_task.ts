import { setImmediate } from "node:timers/promises";
import { ConfigError, MixwrightError } from "../core/errors.ts";
import { isObject } from "../io/json.ts";
import type { Document } from "./document.ts";
import { Rejected } from "./rejected.ts";
import type { Reader, Step, TaskContext } from "./step.ts";
import { bump, type Counts, noCounts, type StepCounts } from "./task_counts.ts";
import { TaskOutputs } from "./task_outputs.ts";

/** One share of a run. */
export interface Task {
  readonly task: number;
  readonly tasks: number;
  readonly files: readonly string[];
  readonly rejected?: string | undefined;
  /** Where the names of its outputs are kept until it is through. */
  readonly journal?: string | undefined;
}

/** How far a task is. */
export interface TaskProgress {
  readonly task: number;
  readonly read: number;
  readonly kept: number;
  /** UTF-8 bytes of the texts read. */
  readonly bytes: number;
  readonly seconds: number;
}

/** Why a task failed: as plain data, so that it can come from a worker. */
export interface TaskFailure {
  readonly task: number;
  readonly step: string;
  /** The document that the step had last, where there was one. */
  readonly document?: string | undefined;
  readonly file?: string | undefined;
  readonly message: string;
}

/** What ends a task: the error of a step, with the step. */
export class StepError extends MixwrightError {
  /** The input file that was being read. */
  file: string | undefined;

  constructor(
    readonly step: string,
    readonly document: string | undefined,
    override readonly cause: unknown,
  ) {
    super(`${step}: ${(cause as Error)?.message ?? cause}`);
  }
}

/** Milliseconds between two reports. The event loop gets a turn at each, for signals and timers. */
const kReportMs = 100;

/** Names of the steps, reader first; a step that is used a second time is "name#2". */
export function stepLabels(steps: readonly Pick<Step, "description">[]): string[] {
  const seen: Record<string, number> = {};
  return steps.map(({ description: { step } }) => {
    bump(seen, step);
    return seen[step] === 1 ? step : `${step}#${seen[step]}`;
  });
}

/**
 * Runs the documents of a task through all steps, and gives its outputs their names when the last document is through.
 * @throws StepError for what a step throws, or for a document that a step neither hands on nor drops; the signal's reason
 * if that aborts. Nothing is left of the outputs then.
 */
export async function runTask(
  reader: Reader,
  steps: readonly Step[],
  task: Task,
  { signal, onProgress }: { signal: AbortSignal; onProgress?: (progress: TaskProgress) => void },
): Promise<Counts> {
  const run = new TaskRun(stepLabels([reader, ...steps]), task, signal);
  const begun = performance.now();
  let next = begun + kReportMs;
  const report = (): void => {
    const { read, kept, bytes } = run.counts;
    onProgress?.({ task: task.task, read, kept, bytes, seconds: (performance.now() - begun) / 1000 });
  };
  const breathe = async (): Promise<void> => {
    signal.throwIfAborted();
    if (performance.now() < next) return;
    report();
    await setImmediate();
    next = performance.now() + kReportMs;
  };
  try {
    let documents = run.read(reader, breathe);
    steps.forEach((step, k) => {
      documents = run.through(step, k + 1, documents);
    });
    for await (const _ of documents) run.counts.kept++;
    signal.throwIfAborted();
    run.close();
    await run.outputs.commit();
  } catch (error) {
    await run.outputs.discard();
    if (error instanceof StepError) error.file = run.file;
    throw error;
  }
  report();
  return run.counts;
}

class TaskRun {
  readonly counts: Counts;
  readonly outputs: TaskOutputs;
  /** The file that is being read. */
  file: string | undefined;
  private readonly rejected: Rejected | undefined;

  constructor(
    private readonly labels: readonly string[],
    private readonly task: Task,
    private readonly signal: AbortSignal,
  ) {
    this.counts = noCounts(labels);
    this.outputs = new TaskOutputs(task.journal);
    this.rejected = task.rejected === undefined ? undefined : new Rejected(task.rejected, this.contextOf(0));
  }

  /** Documents of the reader, file after file; `breathe` is called before each goes on. */
  async *read(reader: Reader, breathe: () => Promise<void>): AsyncGenerator<Document> {
    const step = this.stepOf(0);
    const context = this.contextOf(0);
    const own = stopwatch(step);
    try {
      for (const file of this.task.files) {
        this.file = file;
        own.start();
        for await (const document of reader.read(file, context)) {
          own.stop();
          step.in++;
          step.out++;
          this.counts.read++;
          this.counts.bytes += Buffer.byteLength(document.text);
          await breathe();
          yield document;
          own.start();
        }
        own.stop();
        await breathe();
      }
    } catch (error) {
      throw this.signal.aborted ? error : new StepError(this.labels[0]!, undefined, error);
    }
  }

  /** Documents that a step hands on. */
  async *through(step: Step, k: number, documents: AsyncGenerator<Document>): AsyncGenerator<Document> {
    const counts = this.stepOf(k);
    const own = stopwatch(counts);
    let last: Document | undefined;
    const source = (async function* () {
      for (;;) {
        own.stop();
        const next = await documents.next();
        own.start();
        if (next.done) return;
        last = next.value;
        counts.in++;
        yield next.value;
      }
    })();
    try {
      own.start();
      for await (const document of step.run(source, this.contextOf(k))) {
        own.stop();
        if (!isDocument(document))
          throw new ConfigError(
            `handed on ${JSON.stringify(document)?.slice(0, 80)}, a document { id, text, metadata } was needed`,
            "steps",
          );
        counts.out++;
        yield document;
        own.start();
      }
      own.stop();
    } catch (error) {
      if (error instanceof StepError || this.signal.aborted) throw error;
      throw new StepError(this.labels[k]!, last?.id, error);
    } finally {
      await documents.return(undefined);
    }
  }

  /** Every document has to be somewhere. */
  close(): void {
    for (const [label, { in: came, out, dropped }] of Object.entries(this.counts.steps)) {
      const gone = Object.values(dropped).reduce((sum, n) => sum + n, 0);
      if (came === out + gone) continue;
      const what = `took ${came} documents, handed on ${out} and dropped ${gone}; these two together were needed`;
      throw new StepError(
        label,
        undefined,
        new MixwrightError(`${what} to be as many. Drop by context.drop`),
      );
    }
  }

  private stepOf(k: number): StepCounts {
    return this.counts.steps[this.labels[k]!]!;
  }

  private contextOf(k: number): TaskContext {
    const { task, tasks } = this.task;
    const { signal, counts } = this;
    const label = this.labels[k]!;
    return {
      task,
      tasks,
      signal,
      drop: (_, reason, document) => {
        const step = this.stepOf(k);
        if (k === 0) {
          step.in++;
          counts.read++;
          counts.bytes += Buffer.byteLength(document.text);
        }
        bump(step.dropped, reason);
        bump(counts.dropped, reason);
        return this.rejected?.keep(label, reason, document);
      },
      count: (name, amount) => bump(counts.counts, name, amount),
      create: (file, compression) => this.outputs.create(file, compression),
    };
  }
}

/** Adds the time between start and stop to a step. */
function stopwatch(step: StepCounts): { start(): void; stop(): void } {
  let from = Number.NaN;
  return {
    start: () => {
      from = performance.now();
    },
    stop: () => {
      if (!Number.isNaN(from)) step.seconds += (performance.now() - from) / 1000;
      from = Number.NaN;
    },
  };
}

/** What is known of an error that ended a task. */
export function failureOf(task: number, error: unknown): TaskFailure {
  if (!(error instanceof StepError))
    return { task, step: "pipeline", message: (error as Error)?.message ?? String(error) };
  const { step, document, file, cause } = error;
  return { task, step, document, file, message: (cause as Error)?.message ?? String(cause) };
}

/** A step of the user's may hand on anything. */
const isDocument = (value: unknown): value is Document =>
  isObject(value) &&
  typeof value.id === "string" &&
  typeof value.text === "string" &&
  isObject(value.metadata);
