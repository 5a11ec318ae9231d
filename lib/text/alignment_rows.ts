import type { Dropped } from "./encode_rows.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * A row of an alignment set, with TRL's columns. Prompts and completions are strings, or lists of messages with `tools` beside:
 * - preference: `{ prompt, chosen, rejected }`, or `{ chosen, rejected }`, each with the prompt that both begin with;
 * - unpaired preference: `{ prompt, completion, label }`, label true for what is wanted;
 * - prompt-only: `{ prompt }`.
 */
export type AlignmentRow = Readonly<Record<string, unknown>>;

export interface AlignmentRowOptions {
  tokenizer: Tokenizer;
  /** Most tokens of a prompt and its completion: longer completions lose their end. */
  maxLength: number;
}

/** A prompt and two completions as token ids. */
export interface Pair {
  readonly prompt: number[];
  readonly chosen: number[];
  readonly rejected: number[];
  /** By how much chosen is better, where the row says so. */
  readonly margin?: number;
}

/** A prompt and a completion as token ids, and whether the completion is wanted. */
export interface Labelled {
  readonly prompt: number[];
  readonly completion: number[];
  readonly label: boolean;
}

/** A prompt as the model is given it, and the whole row, of which a reward may read other columns. */
export interface Prompt {
  readonly ids: number[];
  readonly row: AlignmentRow;
}

/** Preference rows as token ids, and what became of the other rows. */
export interface Pairs {
  readonly pairs: readonly Pair[];
  /** Pairs of which a completion was cut. */
  readonly truncated: number;
  readonly dropped: readonly Dropped[];
}

/** Unpaired rows as token ids, and what became of the other rows. */
export interface LabelledRows {
  readonly labelled: readonly Labelled[];
  /** Rows whose completion was cut. */
  readonly truncated: number;
  readonly dropped: readonly Dropped[];
}

/** Prompts as token ids, and what became of the other rows. */
export interface Prompts {
  readonly prompts: readonly Prompt[];
  /** Always 0: a prompt isn't cut but dropped. */
  readonly truncated: number;
  readonly dropped: readonly Dropped[];
}

/** Preference rows, of a list or a file (see readRows), as token ids. */
export async function readPairs(
  data: string | readonly AlignmentRow[],
  options: AlignmentRowOptions,
): Promise<Pairs> {
  throw new Error(`readPairs: not written yet (${data.length} ${options.maxLength})`);
}

/** Unpaired preference rows, of a list or a file (see readRows), as token ids; preference rows become two. */
export async function readLabelled(
  data: string | readonly AlignmentRow[],
  options: AlignmentRowOptions,
): Promise<LabelledRows> {
  throw new Error(`readLabelled: not written yet (${data.length} ${options.maxLength})`);
}

/** Prompt-only rows, of a list or a file (see readRows), as token ids. */
export async function readPrompts(
  data: string | readonly AlignmentRow[],
  options: AlignmentRowOptions,
): Promise<Prompts> {
  throw new Error(`readPrompts: not written yet (${data.length} ${options.maxLength})`);
}
