import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { FormatError } from "../core/errors.ts";
import { isSystemError, systemReason } from "./system_error.ts";

/** Bytes that are read from disk at once. */
const kChunkBytes = 2 ** 18;

/**
 * The bytes of a file in order, decompressed where its name ends in ".gz" or ".zst". Holds one chunk at a time.
 * @throws FormatError naming the file, and the `line` that the caller is at, if there is no such file, or the compressed
 * data is damaged or cut off.
 */
export async function* readBytes(file: string, line?: () => number): AsyncGenerator<Uint8Array> {
  const compression = file.endsWith(".gz") ? "gzip" : file.endsWith(".zst") ? "zstd" : undefined;
  const source = createReadStream(file, { highWaterMark: kChunkBytes });
  try {
    if (compression === "gzip") yield* gunzipped(source);
    else if (compression === "zstd") yield* unzstded(source);
    else yield* source as AsyncIterable<Buffer>;
  } catch (error) {
    if (isSystemError(error)) throw new FormatError(`${file}: ${systemReason(error)}`, file);
    const place = line ? `${file}:${line()}` : file;
    const reason = `the ${compression} data is damaged (${(error as Error).message}).`;
    throw new FormatError(`${place}: ${reason}`, file, line?.() ?? 0);
  } finally {
    source.destroy();
  }
}

async function* gunzipped(source: Readable): AsyncGenerator<Uint8Array> {
  const gunzip = createGunzip();
  source.on("error", (error) => gunzip.destroy(error));
  try {
    yield* source.pipe(gunzip) as AsyncIterable<Buffer>;
  } finally {
    gunzip.destroy();
  }
}

/** Any number of frames one after the other. Their checksums are not compared: fzstd doesn't, and says so. */
async function* unzstded(source: Readable): AsyncGenerator<Uint8Array> {
  const { Decompress } = await import("fzstd");
  let out: Uint8Array[] = [];
  const decompress = new Decompress((bytes) => {
    if (bytes.length > 0) out.push(bytes);
  });
  let isEmpty = true;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    isEmpty &&= chunk.length === 0;
    decompress.push(chunk);
    yield* out;
    out = [];
  }
  if (isEmpty) throw new Error("there is none");
  decompress.push(new Uint8Array(0), true);
  yield* out;
}
