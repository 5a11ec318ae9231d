import { FormatError } from "../core/errors.ts";
import { isObject } from "../io/json.ts";
import { type JsonLine, readJsonl } from "../io/jsonl.ts";
import { renderChat } from "./chat.ts";
import type { ChatMessage } from "./chat_template.ts";
import { encodePair, encodeText } from "./encode_pair.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * A row of a fine-tuning set: `{ text }`, `{ messages }`, or `{ prompt, completion }`, both strings or both lists of messages.
 * `tools` may stand beside messages; other fields are passed over.
 */
export type SftRow = Readonly<Record<string, unknown>>;

export interface ExampleOptions {
  tokenizer: Tokenizer;
  /** Longer examples lose their end. */
  maxLength: number;
  /** Of prompt–completion rows, only the completion is learned. Default true. */
  completionOnly?: boolean;
  /** Of conversations, only what the assistant says is learned (see renderChat). Default false. */
  assistantOnly?: boolean;
}

/** Token ids, and which of them the model is to learn. */
export interface Example {
  readonly ids: number[];
  readonly learn: boolean[];
}

/** Examples, and what became of the other rows; `line` counts from 1. */
export interface Examples {
  readonly examples: readonly Example[];
  /** Examples that were cut at maxLength. */
  readonly truncated: number;
  readonly dropped: readonly { readonly line: number; readonly reason: string }[];
}

/**
 * Fine-tuning rows, of a list or a `.jsonl` file (or `.jsonl.gz`), as token ids. Text begins with bos as its tokenizer does it and
 * ends with eos; conversations are what the chat template makes of them. Rows of which nothing would be learned are dropped.
 * @throws FormatError, with the line, for a row that is none of SftRow.
 */
export async function readExamples(
  data: string | readonly SftRow[],
  options: ExampleOptions,
): Promise<Examples> {
  const { maxLength } = options;
  const examples: Example[] = [];
  const dropped: { line: number; reason: string }[] = [];
  let truncated = 0;
  for await (const { value, line } of typeof data === "string" ? readJsonl(data) : numbered(data)) {
    const example = encodeRow(value, options, (what) => {
      const file = typeof data === "string" ? data : "";
      throw new FormatError(`${file === "" ? "row " : `${file}:`}${line}: ${what}.`, file, line);
    });
    if (!example) {
      dropped.push({ line, reason: "the completion's tokens can't be told from the prompt's" });
      continue;
    }
    const kept = example.learn.lastIndexOf(true, maxLength - 1);
    if (kept < 1) {
      const reason = example.learn.includes(true, 1)
        ? `nothing to learn in the first ${maxLength} tokens`
        : "nothing to learn";
      dropped.push({ line, reason });
      continue;
    }
    if (example.ids.length > maxLength) truncated++;
    examples.push({ ids: example.ids.slice(0, maxLength), learn: example.learn.slice(0, maxLength) });
  }
  return { examples, truncated, dropped };
}

function* numbered(rows: readonly SftRow[]): Generator<JsonLine> {
  for (const [i, value] of rows.entries()) yield { value, line: i + 1 };
}

const kinds = ["text", "messages", "completion"];

function encodeRow(
  row: unknown,
  options: ExampleOptions,
  refuse: (what: string) => never,
): Example | undefined {
  const { tokenizer, completionOnly = true, assistantOnly = false } = options;
  if (!isObject(row)) return refuse("no JSON object");
  const found = kinds.filter((key) => key in row);
  if (found.length !== 1 || (found[0] === "completion") !== "prompt" in row) {
    const names = Object.keys(row).join(", ") || "nothing";
    return refuse(`has ${names}; text, or messages, or prompt and completion were needed`);
  }
  const { text, prompt, completion } = row;
  if (found[0] === "messages" || Array.isArray(prompt)) {
    const before = found[0] === "messages" ? [] : messagesOf(prompt, "prompt", refuse);
    const key = found[0]!;
    const messages = [...before, ...messagesOf(row[key], key, refuse)];
    return conversation(options, before, messages, toolsOf(row, refuse));
  }
  if (assistantOnly) return refuse("has no messages, which assistantOnly learns from");
  if (found[0] === "text") {
    const ids = encodeText(tokenizer, stringOf(text, "text", refuse));
    const { eosTokenId: eos } = tokenizer;
    if (eos !== undefined && ids.at(-1) !== eos) ids.push(eos);
    return { ids, learn: ids.map(() => true) };
  }
  const pair = encodePair(
    tokenizer,
    stringOf(prompt, "prompt", refuse),
    stringOf(completion, "completion", refuse),
  );
  if (!pair) return undefined;
  const ids = [...pair.prompt, ...pair.completion];
  return { ids, learn: ids.map((_, i) => !completionOnly || i >= pair.prompt.length) };
}

/** With `before`, the prompt's messages, only what the template writes after them (and the assistant's header) is learned. */
function conversation(
  { tokenizer, completionOnly = true, assistantOnly = false }: ExampleOptions,
  before: readonly ChatMessage[],
  messages: readonly ChatMessage[],
  tools: { tools?: readonly unknown[] },
): Example | undefined {
  const { ids, assistant } = assistantOnly
    ? renderChat(tokenizer, messages, tools)
    : { ids: tokenizer.applyChatTemplate(messages, tools), assistant: undefined };
  const prompt =
    before.length > 0 && completionOnly
      ? tokenizer.applyChatTemplate(before, { ...tools, addGenerationPrompt: true })
      : [];
  if (!prompt.every((id, i) => ids[i] === id)) return undefined;
  return { ids, learn: ids.map((_, i) => i >= prompt.length && (assistant?.[i] ?? true)) };
}

function stringOf(value: unknown, key: string, refuse: (what: string) => never): string {
  return typeof value === "string" ? value : refuse(`${key} is ${shown(value)}, a string was needed`);
}

function messagesOf(value: unknown, key: string, refuse: (what: string) => never): ChatMessage[] {
  if (!Array.isArray(value) || value.length === 0)
    return refuse(`${key} is ${shown(value)}, a list of messages was needed`);
  for (const [i, message] of value.entries()) {
    if (isObject(message) && typeof message.role === "string") continue;
    return refuse(`${key}[${i}] is ${shown(message)}, a message with a role was needed`);
  }
  return value as ChatMessage[];
}

function toolsOf({ tools }: SftRow, refuse: (what: string) => never): { tools?: readonly unknown[] } {
  if (tools === undefined || tools === null) return {};
  return Array.isArray(tools) ? { tools } : refuse(`tools is ${shown(tools)}, a list was needed`);
}

const shown = (value: unknown): string => JSON.stringify(value)?.slice(0, 60) ?? "undefined";
