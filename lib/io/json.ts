import { FormatError } from "../core/errors.ts";

/**
 * Parses JSON text that came from `file`. What JSON.parse lets pass in silence is refused too: a key written twice in
 * one object, of which it would keep the last.
 * @throws FormatError naming the file, and the place or the key.
 */
export function parseJson(text: string, file: string, part = ""): unknown {
  const where = part === "" ? file : `${file}: ${part}`;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${where}: not JSON (${(error as Error).message}).`, file);
  }
  const key = repeatedKey(text);
  if (key !== undefined)
    throw new FormatError(`${where}: the key "${key}" stands twice in one object.`, file);
  return value;
}

/** True for a JSON object: not null, not an array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** First key that valid JSON text repeats within one object: a string is a key exactly if a colon follows it. */
function repeatedKey(text: string): string | undefined {
  const seen: Set<string>[] = [];
  for (const [token, key] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}]/g)) {
    if (token === "{") seen.push(new Set());
    else if (token === "}") seen.pop();
    else if (key !== undefined) {
      const name = JSON.parse(key) as string;
      const keys = seen.at(-1)!;
      if (keys.has(name)) return name;
      keys.add(name);
    }
  }
  return undefined;
}
