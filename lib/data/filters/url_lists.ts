import { ConfigError } from "../../core/errors.ts";
import { readLines } from "../../io/lines.ts";

/** A list's entries, or a text file of one a line (gzipped if it ends in .gz) where lines that begin with # are comments. */
export type UrlList = readonly string[] | string;

/** What makes an entry and a URL comparable. */
export const lettersAndDigits = (text: string): string => text.replace(/[^a-zA-Z0-9]+/g, "").toLowerCase();

/** The entries of a list. Throws FormatError for a file that can't be read. */
export async function readEntries(list: UrlList): Promise<readonly string[]> {
  if (typeof list !== "string") return list;
  const entries: string[] = [];
  for await (const { text } of readLines(list)) entries.push(text);
  return entries;
}

/** Entries made comparable; comments and empty ones are left out. */
export function entrySet(entries: readonly string[], comparable: (entry: string) => string): Set<string> {
  const set = new Set<string>();
  for (const entry of entries) {
    const found = entry.startsWith("#") ? "" : comparable(entry.trim());
    if (found !== "") set.add(found);
  }
  return set;
}

export function checkList(key: string, list: unknown): void {
  const fits =
    typeof list === "string" || (Array.isArray(list) && list.every((entry) => typeof entry === "string"));
  if (fits) return;
  throw new ConfigError(`filter.url: ${key} is no list, texts or a file's path were needed`, key);
}
