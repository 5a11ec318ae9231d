import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import path from "node:path";
import { FormatError } from "../core/errors.ts";
import { readLines } from "./lines.ts";
import { withPath } from "./system_error.ts";

/** One line of a JSONL file; `line` counts from 1, empty lines included. */
export interface JsonLine {
  readonly value: unknown;
  readonly line: number;
}

/**
 * Reads a file of one JSON value a line, UTF-8, decompressed if its name ends in ".gz" or ".zst". Holds one line at a time; lines of
 * white space are skipped.
 * @throws FormatError with file and line if a line is not JSON or not UTF-8, or the compressed data is damaged or cut off.
 */
export async function* readJsonl(file: string): AsyncGenerator<JsonLine, void, undefined> {
  for await (const { text, line } of readLines(file)) {
    if (text.trim() === "") continue;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new FormatError(`${file}:${line}: not JSON (${(error as Error).message}).`, file, line);
    }
    yield { value, line };
  }
}

/** Appends JSON lines to a file, each by one call of the system, so that a crash or a reader never splits one. */
export interface JsonlWriter {
  /** Writes at once, in order; NaN and infinities become null, as JSON has no word for them. */
  append(value: unknown): void;
  close(): void;
}

/** Opens `file` for appending; it and its folder are made if need be. */
export function openJsonlWriter(file: string): JsonlWriter {
  mkdirSync(path.dirname(file), { recursive: true });
  const descriptor = openSync(file, "a");
  return {
    append: (value) => {
      try {
        writeSync(descriptor, `${JSON.stringify(value)}\n`);
      } catch (error) {
        throw withPath(error, file);
      }
    },
    close: () => closeSync(descriptor),
  };
}
