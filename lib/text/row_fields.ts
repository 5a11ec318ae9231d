import { isObject } from "../io/json.ts";
import type { ChatMessage } from "./chat_template.ts";
import type { Refuse } from "./encode_rows.ts";

const roles = ["system", "user", "assistant", "tool"];

type Fields = Readonly<Record<string, unknown>>;

/** True for a field that is there and not null, which is how Parquet writes what isn't there. */
export const isThere = (value: unknown): boolean => value !== undefined && value !== null;

/** The names of a row's fields, for a message. */
export const namesOf = (row: Fields): string => Object.keys(row).join(", ") || "nothing";

export function numberOf(row: Fields, key: string, refuse: Refuse): number {
  const value = row[key];
  return typeof value === "number" && Number.isFinite(value)
    ? value
    : refuse(`${key} is ${shown(value)}, a number was needed`);
}

export function stringOf(value: unknown, key: string, refuse: Refuse): string {
  return typeof value === "string" ? value : refuse(`${key} is ${shown(value)}, a string was needed`);
}

/** The messages under `key`; `needed` is what the refusal of something that is no list asks for. */
export function messagesOf(
  value: unknown,
  key: string,
  refuse: Refuse,
  needed = "a list of messages",
): ChatMessage[] {
  if (!Array.isArray(value) || value.length === 0)
    return refuse(`${key} is ${shown(value)}, ${needed} was needed`);
  for (const [i, message] of value.entries()) {
    const where = `${key}[${i}]`;
    if (!isObject(message) || typeof message.role !== "string")
      return refuse(`${where} is ${shown(message)}, a message with a role was needed`);
    const { role, content } = message;
    if (!roles.includes(role))
      return refuse(`${where}.role is ${shown(role)}, one of ${roles.join(", ")} was needed`);
    const calls = role === "assistant" && Array.isArray(message.tool_calls) && message.tool_calls.length > 0;
    if (typeof content === "string" || (calls && (content ?? null) === null)) continue;
    return refuse(`${where}.content is ${shown(content)}, a string was needed`);
  }
  return value as ChatMessage[];
}

/** What stands beside messages under `tools`: a list, or one as JSON text, as many data sets have it. */
export function toolsOf({ tools }: Fields, refuse: Refuse): { tools?: readonly unknown[] } {
  if (!isThere(tools)) return {};
  const list = typeof tools === "string" ? listIn(tools) : tools;
  return Array.isArray(list) ? { tools: list } : refuse(`tools is ${shown(tools)}, a list was needed`);
}

function listIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The beginning of a value, for a message. */
export function shown(value: unknown): string {
  if (typeof value === "number") return String(value);
  const json = JSON.stringify(value, (_, field) => (typeof field === "bigint" ? Number(field) : field));
  return json?.slice(0, 60) ?? "undefined";
}
