import { ConfigError } from "../core/errors.ts";
import { isObject } from "../io/json.ts";
import type { Compression } from "../io/staged_file.ts";
import type { Document, Verdict } from "./document.ts";

/** The name a step has in a pipeline file ("filter.gopherQuality"), and its options as JSON: enough to make it again in a worker. */
export interface StepDescription {
  readonly step: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** What a step knows of the task that it runs in. A task is one share of the input files; tasks share nothing. */
export interface TaskContext {
  /** Number of the task, from 0, and how many there are. */
  readonly task: number;
  readonly tasks: number;
  /** Aborts when the run is stopped. */
  readonly signal: AbortSignal;
  /** Counts a document as dropped, under the step's name and the reason, and keeps it where rejected ones are kept. */
  drop(step: string, reason: string, document: Document): void | Promise<void>;
  /** Adds to a number of the task's report: "filter.c4/lines dropped". */
  count(name: string, amount?: number): void;
  /**
   * Opens an output file of the task. It gets its name when the whole task is through: a task that fails or is killed leaves
   * no output, and is made anew by a rerun. The pipeline closes it, after the last step has ended.
   */
  create(file: string, compression?: Compression): Promise<Output>;
}

/** A file that a step writes. */
export interface Output {
  /** Resolves when there is room for more; the bytes are not to be changed after. Throws what the system says. */
  write(content: string | Uint8Array): Promise<void>;
  /** Nothing more is written to it: its memory goes back. What isn't finished by its step is by the pipeline. */
  finish(): Promise<void>;
}

/** Name of a task's output without its ending, as datatrove has it: 00000. */
export const taskName = ({ task }: Pick<TaskContext, "task">): string => String(task).padStart(5, "0");

/** One step: documents in, documents out, a few of them in memory at a time. */
export interface Step {
  readonly description: StepDescription;
  run(documents: AsyncIterable<Document>, context: TaskContext): AsyncIterable<Document>;
}

/** A step that may also say where the run keeps what any step drops. */
export interface Writer extends Step {
  readonly rejected?: string | undefined;
}

/** A step that judges each document by itself; its verdict on a document that it keeps has the text. */
export interface Filter extends Step {
  apply(document: Document): Verdict | Promise<Verdict>;
}

/** The first step: makes documents of files. Which task reads which file is the pipeline's business. */
export interface Reader {
  readonly description: StepDescription;
  /** The input files, in an order that doesn't change. Throws ConfigError where there are none. */
  files(): Promise<readonly string[]>;
  read(file: string, context: TaskContext): AsyncIterable<Document>;
}

/** A filter of its name, its options and its judgement. */
export function filterStep(
  step: string,
  options: Readonly<Record<string, unknown>>,
  apply: (document: Document) => Verdict | Promise<Verdict>,
): Filter {
  if (typeof apply !== "function") {
    throw new ConfigError(
      `step.filter: ${step} has a ${typeof apply} for its judgement, a function was needed behind its name and options`,
      "apply",
    );
  }
  return {
    description: { step, options },
    apply: (document) => {
      const verdict = apply(document);
      return verdict instanceof Promise
        ? verdict.then((one) => withText(one, document))
        : withText(verdict, document);
    },
    async *run(documents, context) {
      for await (const document of documents) {
        const verdict = checked(step, await apply(document));
        if (!verdict.keep) {
          await context.drop(step, verdict.reason, document);
          continue;
        }
        const { text = document.text, metadata } = verdict;
        yield metadata || text !== document.text
          ? { ...document, text, metadata: { ...document.metadata, ...metadata } }
          : document;
      }
    },
  };
}

const withText = (verdict: Verdict, { text }: Document): Verdict =>
  verdict.keep && verdict.text === undefined ? { ...verdict, text } : verdict;

/** Throws ConfigError for what is no verdict: a function of the user's may return anything. */
function checked(step: string, verdict: Verdict): Verdict {
  const { keep, text, metadata, reason } = (verdict ?? {}) as Readonly<Record<string, unknown>>;
  const isVerdict =
    keep === true
      ? (text === undefined || typeof text === "string") && (metadata === undefined || isObject(metadata))
      : keep === false && typeof reason === "string" && reason !== "";
  if (isVerdict) return verdict;
  throw new ConfigError(
    `${step}: a document was judged ${JSON.stringify(verdict)?.slice(0, 80)}, { keep: true } (with text and metadata, where they change) or { keep: false, reason } was needed`,
    "apply",
  );
}
