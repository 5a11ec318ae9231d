import { isObject } from "../io/json.ts";
import { renderChat } from "./chat.ts";
import type { ChatMessage } from "./chat_template.ts";
import { encodePair, encodeTexts, withEos } from "./encode_pair.ts";
import type { Refuse } from "./encode_rows.ts";
import { messagesOf, namesOf, stringOf, toolsOf } from "./row_fields.ts";
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

const kinds = ["text", "messages", "completion"];

/**
 * The example that a row makes; undefined if its completion can't be told from its prompt. `refuse` throws for what is no row.
 */
export async function encodeRow(
  row: unknown,
  options: ExampleOptions,
  refuse: Refuse,
): Promise<Example | undefined> {
  const { tokenizer, completionOnly = true, assistantOnly = false } = options;
  if (!isObject(row)) return refuse("no JSON object");
  const found = kinds.filter((key) => key in row);
  if (found.length !== 1 || (found[0] === "completion") !== "prompt" in row) {
    return refuse(`has ${namesOf(row)}; text, or messages, or prompt and completion were needed`);
  }
  const { text, prompt, completion } = row;
  if (found[0] === "messages" || Array.isArray(prompt)) {
    const before = found[0] === "messages" ? [] : messagesOf(prompt, "prompt", refuse);
    const key = found[0]!;
    const messages = [...before, ...messagesOf(row[key], key, refuse)];
    if (assistantOnly && !messages.some(({ role }) => role === "assistant"))
      return refuse("has no turn of the assistant, which assistantOnly (--assistant-only) learns from");
    return conversation(options, before, messages, toolsOf(row, refuse));
  }
  if (assistantOnly) return refuse("has no messages, which assistantOnly (--assistant-only) learns from");
  if (found[0] === "text") {
    const [plain] = await encodeTexts(tokenizer, [stringOf(text, "text", refuse)]);
    const ids = withEos(tokenizer, plain!);
    return { ids, learn: ids.map(() => true) };
  }
  const pair = await encodePair(
    tokenizer,
    stringOf(prompt, "prompt", refuse),
    stringOf(completion, "completion", refuse),
  );
  if (!pair) return undefined;
  const ids = [...pair.prompt, ...pair.completion];
  return { ids, learn: ids.map((_, i) => !completionOnly || i >= pair.prompt.length) };
}

/** With `before`, the prompt's messages, only what the template writes after them (and the assistant's header) is learned. */
async function conversation(
  { tokenizer, completionOnly = true, assistantOnly = false }: ExampleOptions,
  before: readonly ChatMessage[],
  messages: readonly ChatMessage[],
  tools: { tools?: readonly unknown[] },
): Promise<Example | undefined> {
  const texts = [tokenizer.applyChatTemplate(messages, { ...tools, tokenize: false })];
  if (before.length > 0 && completionOnly) {
    texts.push(tokenizer.applyChatTemplate(before, { ...tools, addGenerationPrompt: true, tokenize: false }));
  }
  const [ids, prompt = []] = (await tokenizer.encodeBatch(texts, { addSpecialTokens: false })) as [
    number[],
    number[]?,
  ];
  const assistant = assistantOnly ? renderChat(tokenizer, messages, tools).assistant : undefined;
  if (!prompt.every((id, i) => ids[i] === id)) return undefined;
  return { ids, learn: ids.map((_, i) => i >= prompt.length && (assistant?.[i] ?? true)) };
}
