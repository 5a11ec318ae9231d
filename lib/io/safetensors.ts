import { readFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { FormatError } from "../core/errors.ts";
import { writeFileAtomically, writeFully } from "./atomic.ts";
import { readAt } from "./read_at.ts";
import {
  buildHeader,
  byteLength,
  parseHeader,
  type SafetensorsDType,
  type TensorEntry,
} from "./safetensors_header.ts";
import { withPath } from "./system_error.ts";

export type { SafetensorsDType, TensorEntry };

/** A tensor to be written; `bytes` is called once, when its turn comes, so that one tensor at a time is in memory. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly bytes: () => Promise<Uint8Array>;
}

const kMaxHeaderBytes = 100_000_000;

/**
 * An open .safetensors file: a u64 header length, a JSON header, then the tensors' bytes, little-endian and row-major
 * (https://github.com/huggingface/safetensors#format). Only the header is read at first; `read` fetches one tensor.
 */
export class SafetensorsFile {
  private constructor(
    readonly file: string,
    /** Free text that the writer left under `__metadata__`. */
    readonly metadata: Readonly<Record<string, string>>,
    readonly tensors: ReadonlyMap<string, TensorEntry>,
    private readonly handle: FileHandle,
    private readonly dataStart: number,
  ) {}

  static async open(file: string): Promise<SafetensorsFile> {
    const handle = await open(file, "r");
    try {
      const { size } = await handle.stat();
      if (size < 8) throw new FormatError(`${file}: ${size} bytes, a safetensors file has at least 8.`, file);
      const headerBytes = Number(
        new DataView((await readAt(handle, file, 0, 8)).buffer).getBigUint64(0, true),
      );
      if (headerBytes > kMaxHeaderBytes) {
        throw new FormatError(
          `${file}: the header's length reads ${headerBytes} bytes, the format allows ${kMaxHeaderBytes}. This is no safetensors file.`,
          file,
        );
      }
      if (8 + headerBytes > size) {
        throw new FormatError(
          `${file}: the header ends at byte ${8 + headerBytes}, the file at ${size}.`,
          file,
        );
      }
      const { metadata, tensors, end } = parseHeader(await readAt(handle, file, 8, headerBytes), file);
      const missing = end - (size - 8 - headerBytes);
      if (missing > 0)
        throw new FormatError(`${file}: truncated, ${missing} of ${end} data bytes are missing.`, file);
      if (missing < 0) throw new FormatError(`${file}: ${-missing} bytes follow the last tensor.`, file);
      return new SafetensorsFile(file, metadata, tensors, handle, 8 + headerBytes);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** The bytes of one tensor, in a buffer of its own (so that any typed array fits on it). */
  async read(name: string): Promise<Uint8Array> {
    const entry = this.tensors.get(name);
    if (!entry)
      throw new FormatError(`${this.file}: no tensor "${name}" among its ${this.tensors.size}.`, this.file);
    return readAt(this.handle, this.file, this.dataStart + entry.begin, entry.end - entry.begin);
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

/**
 * Opens a .safetensors file and checks its header against the file's length.
 * @throws FormatError if the header is not what the format asks: JSON, every key once, known dtypes, byte ranges that
 *   match shape × dtype and lie end to end from the first data byte to the last.
 */
export function openSafetensors(file: string): Promise<SafetensorsFile> {
  return SafetensorsFile.open(file);
}

/**
 * A small .safetensors file, whole: its header, and the bytes behind it. Throws FormatError as `openSafetensors` does, and for a
 * file that isn't there.
 */
export function readSafetensorsAtOnce(file: string): {
  tensors: ReadonlyMap<string, TensorEntry>;
  data: Uint8Array;
} {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw withPath(error, file);
  }
  const headerBytes = bytes.length < 8 ? Number.POSITIVE_INFINITY : Number(bytes.readBigUInt64LE(0));
  if (8 + headerBytes > bytes.length)
    throw new FormatError(`${file}: ${bytes.length} bytes, which hold no safetensors header.`, file);
  const data = bytes.subarray(8 + headerBytes);
  const { tensors, end } = parseHeader(bytes.subarray(8, 8 + headerBytes), file);
  if (end !== data.length)
    throw new FormatError(`${file}: ${data.length} data bytes, the header asks for ${end}.`, file);
  return { tensors, data };
}

/**
 * Writes a .safetensors file atomically (see writeFileAtomically). The same tensors give the same bytes, in whatever
 * order they come: like Hugging Face's writer, by dtype (widest first), then by name.
 */
export async function writeSafetensors(
  file: string,
  entries: AsyncIterable<TensorToWrite> | Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const tensors: TensorToWrite[] = [];
  for await (const entry of entries) tensors.push(entry);
  const header = buildHeader(file, tensors, metadata);

  await writeFileAtomically(file, async (handle) => {
    await writeFully(handle, header);
    for (const { name, dtype, shape, bytes } of tensors) {
      const data = await bytes();
      const expected = byteLength(dtype, shape);
      if (data.length !== expected) {
        throw new FormatError(
          `${file}: "${name}" came as ${data.length} bytes, ${dtype} [${shape.join(", ")}] takes ${expected}.`,
          file,
        );
      }
      await writeFully(handle, data);
    }
  });
}
