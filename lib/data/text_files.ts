import { ConfigError, FormatError } from "../core/errors.ts";
import { isObject } from "../io/json.ts";
import { readJsonl } from "../io/jsonl.ts";
import { readLines } from "../io/lines.ts";

/** A line that is only this separates the documents of a .txt file. */
const kDocumentSeparator = "<|endoftext|>";

/**
 * The documents of a text file, one at a time:
 * - `.jsonl`: the `text` of each line;
 * - `.txt`: what stands between lines of only `<|endoftext|>`, without the line break before those or at the file's end; a
 *   file without such a line is one document. Empty documents are left out.
 *
 * Both may be compressed (`.gz`, `.zst`).
 * @throws FormatError with the line, for a line without `text`, or one that can't be read; ConfigError for other names.
 */
export async function* readTexts(file: string): AsyncGenerator<string, void, undefined> {
  if (/\.jsonl(\.gz|\.zst)?$/.test(file)) yield* jsonlTexts(file);
  else if (/\.txt(\.gz|\.zst)?$/.test(file)) yield* readSeparatedTexts(file);
  else {
    throw new ConfigError(
      `readTexts: ${file} ends in none of .jsonl, .txt (also with .gz or .zst behind), which are read`,
      "file",
    );
  }
}

async function* jsonlTexts(file: string): AsyncGenerator<string> {
  for await (const { value, line } of readJsonl(file)) {
    if (isObject(value) && typeof value.text === "string") {
      yield value.text;
      continue;
    }
    const what = !isObject(value)
      ? "no JSON object"
      : "text" in value
        ? `"text" is ${JSON.stringify(value.text)?.slice(0, 40)}`
        : `no "text" among ${Object.keys(value).join(", ") || "no fields"}`;
    throw new FormatError(`${file}:${line}: ${what}, a field "text" with a string was needed.`, file, line);
  }
}

/** What stands between the lines of only `<|endoftext|>` in a text file of any name. */
export async function* readSeparatedTexts(file: string): AsyncGenerator<string> {
  let lines: string[] = [];
  for await (const { text } of readLines(file)) {
    if (text.trim() !== kDocumentSeparator) {
      lines.push(text);
      continue;
    }
    if (lines.some((line) => line !== "")) yield lines.join("\n");
    lines = [];
  }
  if (lines.some((line) => line !== "")) yield lines.join("\n");
}
