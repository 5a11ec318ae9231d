import { closeSync, createReadStream, mkdirSync, openSync, writeSync } from "node:fs";
import path from "node:path";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { FormatError } from "../core/errors.ts";

/** One line of a JSONL file; `line` counts from 1, empty lines included. */
export interface JsonLine {
  readonly value: unknown;
  readonly line: number;
}

/**
 * Reads a file of one JSON value a line, UTF-8, gzipped if its name ends in ".gz". Holds one line at a time; lines of
 * white space are skipped.
 * @throws FormatError with file and line if a line is not JSON or not UTF-8, or the gzip data is damaged or cut off.
 */
export async function* readJsonl(file: string): AsyncGenerator<JsonLine, void, undefined> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let line = 0;
  for await (const bytes of splitLines(file, () => line + 1)) {
    line++;
    let text: string;
    try {
      text = decoder.decode(bytes);
    } catch {
      throw new FormatError(`${file}:${line}: not UTF-8.`, file, line);
    }
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
    append: (value) => void writeSync(descriptor, `${JSON.stringify(value)}\n`),
    close: () => closeSync(descriptor),
  };
}

/** The lines of a file as bytes. Node's readline would also split at U+2028, which JSON strings may hold. */
async function* splitLines(file: string, line: () => number): AsyncGenerator<Uint8Array> {
  const source = createReadStream(file, { highWaterMark: 2 ** 18 });
  let stream: Readable = source;
  if (file.endsWith(".gz")) {
    const gunzip = createGunzip();
    source.on("error", (error) => gunzip.destroy(error));
    stream = source.pipe(gunzip);
  }
  let pieces: Buffer[] = [];
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      let begin = 0;
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, begin)) {
        const last = chunk.subarray(begin, end);
        yield pieces.length === 0 ? last : Buffer.concat([...pieces, last]);
        pieces = [];
        begin = end + 1;
      }
      if (begin < chunk.length) pieces.push(chunk.subarray(begin));
    }
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    if (!code.startsWith("Z_")) throw error;
    throw new FormatError(`${file}:${line()}: the gzip data is damaged (${message}).`, file, line());
  } finally {
    source.destroy();
    stream.destroy();
  }
  if (pieces.length > 0) yield Buffer.concat(pieces);
}
