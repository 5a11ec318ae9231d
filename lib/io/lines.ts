import { FormatError } from "../core/errors.ts";
import { readBytes } from "./read_bytes.ts";

/** One line of a text file, without its line feed; `line` counts from 1. */
export interface TextLine {
  readonly text: string;
  readonly line: number;
}

/**
 * Reads a text file line by line, UTF-8, decompressed if its name ends in ".gz" or ".zst". Holds one line at a time.
 * @throws FormatError with file and line if a line is not UTF-8, the compressed data is damaged or cut off, or there is no file.
 */
export async function* readLines(file: string): AsyncGenerator<TextLine, void, undefined> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let line = 0;
  for await (const bytes of readByteLines(file)) {
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

/** The same as bytes, whatever they are. Node's readline would also split at U+2028, which JSON strings may hold. */
export async function* readByteLines(file: string): AsyncGenerator<Uint8Array, void, undefined> {
  let pieces: Uint8Array[] = [];
  let line = 1;
  for await (const chunk of readBytes(file, () => line)) {
    let begin = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, begin)) {
      const last = chunk.subarray(begin, end);
      yield pieces.length === 0 ? last : Buffer.concat([...pieces, last]);
      line++;
      pieces = [];
      begin = end + 1;
    }
    if (begin < chunk.length) pieces.push(chunk.subarray(begin));
  }
  if (pieces.length > 0) yield Buffer.concat(pieces);
}
