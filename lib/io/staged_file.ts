import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import { PassThrough, Transform, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { syncFolder } from "./atomic.ts";
import { withPath } from "./system_error.ts";

export type Compression = "none" | "gzip" | "zstd";

/** What a name ends in when its content is compressed so. */
export const compressionSuffix: Readonly<Record<Compression, string>> = {
  none: "",
  gzip: ".gz",
  zstd: ".zst",
};

/** Text that is gathered before it is compressed or written. */
const kChunkBytes = 2 ** 16;
/** Bytes of one zstd frame before compression. The library can only compress at once what it is given. */
const kFrameBytes = 2 ** 22;

/** The name that a file has until it is complete. */
export const stagedName = (file: string): string => `${file}.part`;

/**
 * A file that has its name only once it is complete: written beside it as `.part`, then flushed to disk by `finish`, then
 * renamed by `commit`. Compressed as it is written: a zstd file has several frames. Holds a few chunks in memory.
 */
export class StagedFile {
  private chunk: Buffer[] = [];
  private chunkBytes = 0;
  private finished = false;
  private readonly done: Promise<void>;
  private failure: unknown;

  private constructor(
    readonly file: string,
    private readonly head: Transform,
  ) {
    const target = createWriteStream(stagedName(file), { flush: true });
    this.done = pipeline(head, target);
    this.done.catch((error: unknown) => {
      this.failure = withPath(error, file);
    });
  }

  static async open(file: string, compression: Compression = "none"): Promise<StagedFile> {
    await mkdir(path.dirname(file), { recursive: true });
    if (compression === "gzip") return new StagedFile(file, createGzip());
    return new StagedFile(file, compression === "zstd" ? await zstdFrames() : new PassThrough());
  }

  /** Resolves when there is room for more. Throws what the system says, with the file's path. */
  async write(content: string | Uint8Array): Promise<void> {
    const bytes =
      typeof content === "string"
        ? Buffer.from(content)
        : Buffer.from(content.buffer, content.byteOffset, content.byteLength);
    this.chunk.push(bytes);
    this.chunkBytes += bytes.length;
    if (this.chunkBytes >= kChunkBytes) await this.flush();
  }

  /** All is on disk, under the temporary name. */
  async finish(): Promise<void> {
    if (this.finished) return;
    await this.flush();
    this.finished = true;
    this.head.end();
    await this.done.catch(() => undefined);
    if (this.failure) throw this.failure;
  }

  async commit(): Promise<void> {
    await rename(stagedName(this.file), this.file);
    await syncFolder(path.dirname(this.file));
  }

  /** Removes what was written so far. */
  async discard(): Promise<void> {
    if (!this.finished) this.head.destroy();
    await this.done.catch(() => undefined);
    await rm(stagedName(this.file), { force: true });
  }

  private async flush(): Promise<void> {
    if (this.failure) throw this.failure;
    const [only] = this.chunk;
    const bytes = this.chunk.length === 1 ? only! : Buffer.concat(this.chunk);
    this.chunk = [];
    this.chunkBytes = 0;
    if (bytes.length === 0 || this.head.write(bytes)) return;
    await Promise.race([once(this.head, "drain"), this.done]).catch(() => undefined);
    if (this.failure) throw this.failure;
  }
}

async function zstdFrames(): Promise<Transform> {
  const { compress, init } = await import("@bokuweb/zstd-wasm");
  await init();
  let pieces: Buffer[] = [];
  let bytes = 0;
  let written = false;
  const frame = (): Uint8Array => {
    const whole = Buffer.concat(pieces);
    pieces = [];
    bytes = 0;
    written = true;
    return compress(whole, 3);
  };
  return new Transform({
    transform(piece: Buffer, _: BufferEncoding, done: TransformCallback) {
      pieces.push(piece);
      bytes += piece.length;
      done(null, bytes >= kFrameBytes ? frame() : undefined);
    },
    flush(done: TransformCallback) {
      done(null, bytes > 0 || !written ? frame() : undefined);
    },
  });
}
