import { brotliDecompressSync, constants, gunzipSync, inflateRawSync, inflateSync } from "node:zlib";
import { headerLength, namedValues } from "./warc_header.ts";

/** An HTTP response as an archive keeps it. */
export interface HttpResponse {
  readonly status: number;
  /** By name in small letters; of a repeated one, the first. */
  readonly headers: ReadonlyMap<string, string>;
  /** As it was sent, chunks and compression undone by `bodyOf`. */
  readonly body: Buffer;
}

/** A body that can't be read; `reason` is the name under which it is counted. */
export interface BodyProblem {
  readonly reason: "unknown_encoding" | "bad_encoding" | "record_too_large";
  readonly detail: string;
}

/** The response in a record's block; undefined if it doesn't begin with a status line. */
export function httpResponse(block: Buffer): HttpResponse | undefined {
  const status = /^HTTP\/\d(?:\.\d)? +(\d{3})/.exec(block.toString("latin1", 0, 32))?.[1];
  if (status === undefined) return undefined;
  // Without an empty line, all of it is headers.
  const length = headerLength(block) || block.length;
  return {
    status: Number(status),
    headers: namedValues(block.toString("latin1", 0, length)),
    body: block.subarray(length),
  };
}

/**
 * A response's body, with chunks put together and compression undone. Its headers are not believed where the bytes say
 * otherwise: archives often keep them as they were sent, with a body that they no longer describe. So content-length is
 * not looked at, and what isn't chunked or not compressed is taken as it is. Of a compressed body that is cut off, its beginning.
 */
export function bodyOf({ headers, body }: HttpResponse, maxBytes: number): Buffer | BodyProblem {
  let bytes = /\bchunked\b/i.test(headers.get("transfer-encoding") ?? "") ? unchunked(body) : body;
  const encodings = (headers.get("content-encoding") ?? "").toLowerCase().split(",");
  for (const encoding of encodings.reverse().map((word) => word.trim())) {
    if (encoding === "" || encoding === "identity" || bytes.length === 0) continue;
    const undone = decompressed(bytes, encoding, maxBytes);
    if (!Buffer.isBuffer(undone)) return undone;
    bytes = undone;
  }
  return bytes;
}

/** RFC 9112, section 7.1. A chunk without a size ends the body; if the first has none, the body isn't chunked. */
function unchunked(body: Buffer): Buffer {
  const chunks: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = body.indexOf(10, at);
    const line = body.toString("latin1", at, end === -1 ? at : Math.min(end, at + 1000));
    const size = /^\s*([0-9a-f]{1,8})\s*(?:;|$)/i.exec(line)?.[1];
    if (size === undefined) return chunks.length === 0 ? body : Buffer.concat(chunks);
    const begin = end + 1;
    const length = Number.parseInt(size, 16);
    if (length === 0) return Buffer.concat(chunks);
    chunks.push(body.subarray(begin, begin + length));
    at = begin + length;
    if (body[at] === 13) at++;
    if (body[at] === 10) at++;
  }
}

function decompressed(bytes: Buffer, encoding: string, maxOutputLength: number): Buffer | BodyProblem {
  const options = { maxOutputLength, finishFlush: constants.Z_SYNC_FLUSH };
  try {
    if (encoding === "gzip" || encoding === "x-gzip")
      return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes, options) : bytes;
    if (encoding === "deflate") {
      // Meant to be zlib's format; some servers send it bare.
      const zlib = (bytes[0]! & 0x0f) === 8 && bytes.readUInt16BE(0) % 31 === 0;
      return zlib ? inflateSync(bytes, options) : inflateRawSync(bytes, options);
    }
    if (encoding === "br") {
      const flush = { maxOutputLength, finishFlush: constants.BROTLI_OPERATION_FLUSH };
      return brotliDecompressSync(bytes, flush);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ERR_BUFFER_TOO_LARGE")
      return { reason: "record_too_large", detail: `inflates to over ${maxOutputLength} bytes` };
    // What already is plain text was inflated by the archive.
    return looksPlain(bytes) ? bytes : { reason: "bad_encoding", detail: `${encoding}: ${message}` };
  }
  return looksPlain(bytes)
    ? bytes
    : { reason: "unknown_encoding", detail: `content-encoding is ${encoding}` };
}

/** Whether bytes begin like a page that isn't compressed. */
const looksPlain = (bytes: Buffer): boolean => /^[\s\ufeff]*</.test(bytes.toString("utf8", 0, 256));
