import { isDeepStrictEqual } from "node:util";
import { isObject } from "../io/json.ts";
import type { ChatMessage } from "./chat_template.ts";
import type { Refuse } from "./encode_rows.ts";
import { isThere, messagesOf, namesOf, numberOf, toolsOf } from "./row_fields.ts";

/** What a prompt or a completion is: text, or messages. */
export type Turns = string | readonly ChatMessage[];

/** A preference row with its prompt by itself. */
export interface Preference {
  readonly prompt: Turns;
  readonly chosen: Turns;
  readonly rejected: Turns;
  readonly tools?: readonly unknown[];
  readonly margin?: number;
}

/**
 * The preference that a row with `chosen` and `rejected` states. Without `prompt`, it is what both begin with; also if
 * both are chats and `prompt` is text, which then only repeats what the chats have. `refuse` throws for what is no such row.
 */
export function preferenceOf(row: unknown, refuse: Refuse): Preference {
  if (!isObject(row)) return refuse("no JSON object");
  if (!isThere(row.chosen) || !isThere(row.rejected))
    return refuse(`has ${namesOf(row)}; chosen and rejected, with or without prompt, were needed`);
  const chosen = turnsOf(row, "chosen", refuse);
  const rejected = turnsOf(row, "rejected", refuse);
  const rest = {
    ...toolsOf(row, refuse),
    ...(isThere(row.margin) && { margin: numberOf(row, "margin", refuse) }),
  };
  if (!isThere(row.prompt)) return { ...splitPrompt(chosen, rejected, refuse), ...rest };
  const prompt = turnsOf(row, "prompt", refuse);
  const chats = typeof chosen !== "string" && typeof rejected !== "string";
  if (typeof prompt === "string" && chats) return { ...splitPrompt(chosen, rejected, refuse), ...rest };
  return { prompt, chosen, rejected, ...rest };
}

export function turnsOf(row: Readonly<Record<string, unknown>>, key: string, refuse: Refuse): Turns {
  const value = row[key];
  if (typeof value === "string") return value;
  return messagesOf(value, key, refuse, "a string or a list of messages");
}

export const refuseMixture = (refuse: Refuse): never =>
  refuse("mixes strings and lists of messages; either was needed for prompt and completions alike");

/** As TRL's extract_prompt does it, characters being code points. The prompt is empty if there is nothing in common. */
function splitPrompt(
  chosen: Turns,
  rejected: Turns,
  refuse: Refuse,
): { prompt: Turns; chosen: Turns; rejected: Turns } {
  if (typeof chosen === "string") {
    if (typeof rejected !== "string") return refuseMixture(refuse);
    const end = promptEnd(chosen, rejected);
    return { prompt: chosen.slice(0, end), chosen: chosen.slice(end), rejected: rejected.slice(end) };
  }
  if (typeof rejected === "string") return refuseMixture(refuse);
  const end = commonLength(chosen, rejected);
  return { prompt: chosen.slice(0, end), chosen: chosen.slice(end), rejected: rejected.slice(end) };
}

/** Where the common beginning of two texts ends: before the space that it ends with, if it does. */
function promptEnd(chosen: string, rejected: string): number {
  const a = Array.from(chosen);
  const b = Array.from(rejected);
  let end = commonLength(a, b);
  if (a[end] !== b[end] && a[end - 1] === " ") end--;
  return a.slice(0, end).join("").length;
}

/** How many items two lists have in common in front; where one list ends there, one less, so that something is left of it. */
function commonLength(a: readonly unknown[], b: readonly unknown[]): number {
  const shorter = Math.min(a.length, b.length);
  let n = 0;
  while (n < shorter && isDeepStrictEqual(a[n], b[n])) n++;
  return n < shorter ? n : Math.max(0, shorter - 1);
}
