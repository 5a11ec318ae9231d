import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { FormatError } from "../core/errors.ts";
import { systemReason } from "./system_error.ts";

/** One line of a text file, without its line feed; `line` counts from 1. */
export interface TextLine {
  readonly text: string;
  readonly line: number;
}

/**
 * Reads a text file line by line, UTF-8, gzipped if its name ends in ".gz". Holds one line at a time.
 * @throws FormatError with file and line if a line is not UTF-8, the gzip data is damaged or cut off, or there is no file.
 */
export async function* readLines(file: string): AsyncGenerator<TextLine, void, undefined> {
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
    yield { text, line };
  }
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
    if (!code.startsWith("Z_"))
      throw new FormatError(`${file}: ${systemReason(error as NodeJS.ErrnoException)}`, file);
    throw new FormatError(`${file}:${line()}: the gzip data is damaged (${message}).`, file, line());
  } finally {
    source.destroy();
    stream.destroy();
  }
  if (pieces.length > 0) yield Buffer.concat(pieces);
}
