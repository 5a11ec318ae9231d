import { type FileHandle, open } from "node:fs/promises";
import { FormatError } from "../core/errors.ts";
import { isSystemError, systemReason } from "./system_error.ts";

/** Bytes that are read at once. */
const kReadBytes = 2 ** 20;

/** A stretch of a file that moves over it: `bytes` are those from `offset`. */
export class FileWindow {
  bytes: Buffer = Buffer.alloc(0);
  offset = 0;

  constructor(
    private readonly file: string,
    private readonly handle: FileHandle,
  ) {}

  /** Reads on until `bytes` has at least so many; false where the file ends before. */
  async fill(least: number): Promise<boolean> {
    while (this.bytes.length < least) {
      const chunk = Buffer.allocUnsafe(kReadBytes);
      const bytesRead = await this.read(chunk, this.offset + this.bytes.length);
      if (bytesRead === 0) return false;
      const read = chunk.subarray(0, bytesRead);
      this.bytes = this.bytes.length === 0 ? read : Buffer.concat([this.bytes, read]);
    }
    return true;
  }

  /** Moves the window: `bytes` begins at this byte of the file, with what is already there. */
  seek(offset: number): void {
    const by = offset - this.offset;
    this.bytes = by >= 0 && by < this.bytes.length ? this.bytes.subarray(by) : Buffer.alloc(0);
    this.offset = offset;
  }

  /** All bytes from `offset` on, in chunks, apart from the window. */
  async *from(offset: number): AsyncGenerator<Buffer> {
    for (let at = offset; ; ) {
      const chunk = Buffer.allocUnsafe(kReadBytes / 4);
      const bytesRead = await this.read(chunk, at);
      if (bytesRead === 0) return;
      yield chunk.subarray(0, bytesRead);
      at += bytesRead;
    }
  }

  async close(): Promise<void> {
    await this.handle.close();
  }

  private async read(into: Buffer, position: number): Promise<number> {
    try {
      return (await this.handle.read(into, 0, into.length, position)).bytesRead;
    } catch (error) {
      throw named(error, this.file);
    }
  }
}

/** @throws FormatError if there is no such file. */
export async function openWindow(file: string): Promise<FileWindow> {
  try {
    return new FileWindow(file, await open(file));
  } catch (error) {
    throw named(error, file);
  }
}

const named = (error: unknown, file: string): unknown =>
  isSystemError(error) ? new FormatError(`${file}: ${systemReason(error)}`, file) : error;
