import type { FileHandle } from "node:fs/promises";
import { FormatError } from "../core/errors.ts";
import { kIoBytes } from "./atomic.ts";

/**
 * `length` bytes of a file from `position`, in a buffer of their own, so that any typed array fits on it.
 * @throws FormatError if the file ends before.
 */
export async function readAt(
  handle: FileHandle,
  file: string,
  position: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(kIoBytes, length - done), position + done);
    if (bytesRead === 0)
      throw new FormatError(`${file}: ends at byte ${position + done}, while being read.`, file);
    done += bytesRead;
  }
  return bytes;
}
