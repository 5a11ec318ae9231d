import { checkWhole } from "../core/options.ts";
import { isObject } from "../io/json.ts";
import { type EncodedPair, encodeChatPair, encodePair, encodePrompt } from "./encode_pair.ts";
import { type Dropped, type Encoded, encodeRows, type Refuse } from "./encode_rows.ts";
import { type Preference, preferenceOf, refuseMixture, type Turns, turnsOf } from "./preference_row.ts";
import { isThere, namesOf, shown, toolsOf } from "./row_fields.ts";
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
  /** Lines of the pairs of which a completion was cut, from 1. */
  readonly truncated: readonly number[];
  readonly dropped: readonly Dropped[];
}

/** Unpaired rows as token ids, and what became of the other rows. */
export interface LabelledRows {
  readonly labelled: readonly Labelled[];
  /** Lines of the completions that were cut, from 1: a preference row's line twice, if both were. */
  readonly truncated: readonly number[];
  readonly dropped: readonly Dropped[];
}

/** Prompts as token ids, and what became of the other rows. */
export interface Prompts {
  readonly prompts: readonly Prompt[];
  /** Always empty: a prompt isn't cut but dropped. */
  readonly truncated: readonly number[];
  readonly dropped: readonly Dropped[];
}

/**
 * Preference rows, of a list or a file (see readRows), as token ids. The prompt is encoded as the model is given it when it
 * generates, alike for both completions; strings end with eos, conversations as the chat template ends them. A row is dropped
 * if its prompt has no tokens or leaves no room for others, a completion has none or can't be told from the prompt, or both
 * completions are the same.
 * @throws FormatError, with the line, for a row of another kind, or messages that the chat template refuses.
 */
export async function readPairs(
  data: string | readonly AlignmentRow[],
  options: AlignmentRowOptions,
): Promise<Pairs> {
  checkWhole("readPairs", { maxLength: options.maxLength }, 1);
  const { kept, ...rest } = await encodeRows<Pair>(data, async (row, refuse) => {
    const preference = preferenceOf(row, refuse);
    const outcomes = await encodePreference(preference, options, refuse);
    return [pairOf(outcomes, preference.margin)];
  });
  return { pairs: kept, ...rest };
}

/**
 * Unpaired preference rows, of a list or a file (see readRows), as token ids, like readPairs. Preference rows become two
 * each: all that was chosen (label true) comes before all that was rejected, so that one prompt's two don't stand together.
 * @throws FormatError, with the line, for a row of another kind, or messages that the chat template refuses.
 */
export async function readLabelled(
  data: string | readonly AlignmentRow[],
  options: AlignmentRowOptions,
): Promise<LabelledRows> {
  checkWhole("readLabelled", { maxLength: options.maxLength }, 1);
  const { kept, ...rest } = await encodeRows<{ row: Labelled; half: number }>(data, async (row, refuse) => {
    const { label, outcomes } = await encodeUnpaired(row, options, refuse);
    return outcomes.map((outcome, half) => {
      if ("reason" in outcome) return outcome;
      return { ...outcome, kept: { row: { ...outcome.kept, label: label ?? half === 0 }, half } };
    });
  });
  const labelled = [0, 1].flatMap((half) => kept.filter((one) => one.half === half).map(({ row }) => row));
  return { labelled, ...rest };
}

/**
 * Prompt-only rows, of a list or a file (see readRows), as token ids; of rows of other kinds too, if they have a prompt. A row
 * is dropped if its prompt has no tokens, has maxLength of them or more, or ends with a turn of the assistant.
 * @throws FormatError, with the line, for a row without prompt, or messages that the chat template refuses.
 */
export async function readPrompts(
  data: string | readonly AlignmentRow[],
  options: AlignmentRowOptions,
): Promise<Prompts> {
  const { tokenizer, maxLength } = options;
  checkWhole("readPrompts", { maxLength }, 1);
  const { kept, ...rest } = await encodeRows<Prompt>(data, async (row, refuse) => {
    if (!isObject(row)) return refuse("no JSON object");
    const prompt = turnsOf(row, "prompt", refuse);
    if (typeof prompt !== "string" && prompt.at(-1)!.role === "assistant")
      return [{ reason: "the prompt ends with a turn of the assistant" }];
    const ids = await encodePrompt(tokenizer, prompt, toolsOf(row, refuse));
    const reason = promptFault(ids, maxLength);
    return [reason === undefined ? { kept: { ids, row }, truncated: false } : { reason }];
  });
  return { prompts: kept, ...rest };
}

/** What becomes of a row's completion, or of the two of a preference row, which has no label. */
async function encodeUnpaired(
  row: unknown,
  options: AlignmentRowOptions,
  refuse: Refuse,
): Promise<{ label?: boolean; outcomes: readonly Encoded<EncodedPair>[] }> {
  if (!isObject(row)) return refuse("no JSON object");
  const paired = isThere(row.chosen) && isThere(row.rejected);
  if (isThere(row.completion) === paired)
    return refuse(`has ${namesOf(row)}; prompt, completion and label, or chosen and rejected were needed`);
  if (paired) return { outcomes: await encodePreference(preferenceOf(row, refuse), options, refuse) };
  const { label } = row;
  if (typeof label !== "boolean") return refuse(`label is ${shown(label)}, true or false was needed`);
  const turns = { prompt: turnsOf(row, "prompt", refuse), ...toolsOf(row, refuse) };
  const pair = await encodeTurns(turns, turnsOf(row, "completion", refuse), options, refuse);
  return { label, outcomes: [fitted(pair, options.maxLength, "the completion")] };
}

/** What becomes of chosen and of rejected; or one reason that drops both. */
async function encodePreference(
  preference: Preference,
  options: AlignmentRowOptions,
  refuse: Refuse,
): Promise<readonly Encoded<EncodedPair>[]> {
  const { prompt, chosen, rejected } = preference;
  if (typeof prompt !== "string" && prompt.length === 0)
    return [{ reason: "chosen and rejected have no message in common in front, which is the prompt" }];
  const { maxLength } = options;
  const pairs = [
    fitted(await encodeTurns(preference, chosen, options, refuse), maxLength, "chosen"),
    fitted(await encodeTurns(preference, rejected, options, refuse), maxLength, "rejected"),
  ];
  const [a, b] = pairs.map((pair) => ("reason" in pair ? undefined : pair.kept.completion));
  if (!a || !b || a.length !== b.length || a.some((id, i) => id !== b[i])) return pairs;
  const cut = pairs.some((pair) => "kept" in pair && pair.truncated);
  const where = cut ? ` within the first ${maxLength} tokens` : "";
  return [{ reason: `chosen and rejected are the same, token for token${where}` }];
}

/** The pair of both outcomes, or the first reason that there is none. */
function pairOf(
  [chosen, rejected]: readonly Encoded<EncodedPair>[],
  margin: number | undefined,
): Encoded<Pair> {
  if (!chosen || "reason" in chosen) return chosen!;
  if (!rejected || "reason" in rejected) return rejected!;
  const pair = {
    prompt: chosen.kept.prompt,
    chosen: chosen.kept.completion,
    rejected: rejected.kept.completion,
  };
  return {
    kept: margin === undefined ? pair : { ...pair, margin },
    truncated: chosen.truncated || rejected.truncated,
  };
}

function encodeTurns(
  { prompt, tools }: { readonly prompt: Turns; readonly tools?: readonly unknown[] },
  completion: Turns,
  { tokenizer }: AlignmentRowOptions,
  refuse: Refuse,
): Promise<EncodedPair | undefined> {
  if (typeof prompt === "string") {
    return typeof completion === "string" ? encodePair(tokenizer, prompt, completion) : refuseMixture(refuse);
  }
  if (typeof completion === "string") return refuseMixture(refuse);
  return encodeChatPair(tokenizer, prompt, completion, tools && { tools });
}

/** The pair with as much of its completion as there is room for. */
function fitted(pair: EncodedPair | undefined, maxLength: number, name: string): Encoded<EncodedPair> {
  if (!pair) return { reason: `${name}'s tokens can't be told from the prompt's` };
  const { prompt, completion } = pair;
  const reason =
    promptFault(prompt, maxLength) ?? (completion.length === 0 ? `${name} has no tokens` : undefined);
  if (reason !== undefined) return { reason };
  const room = maxLength - prompt.length;
  return { kept: { prompt, completion: completion.slice(0, room) }, truncated: completion.length > room };
}

function promptFault({ length }: readonly number[], maxLength: number): string | undefined {
  if (length === 0) return "the prompt has no tokens";
  return length < maxLength ? undefined : `the prompt alone has ${length} tokens, of ${maxLength} at most`;
}
