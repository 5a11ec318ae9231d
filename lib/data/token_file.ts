import { type FileHandle, open } from "node:fs/promises";
import { FormatError } from "../core/errors.ts";
import { isObject, parseJson } from "../io/json.ts";
import { readAt } from "../io/read_at.ts";
import { readTextIfThere } from "../io/read_text.ts";
import { systemReason } from "../io/system_error.ts";
import type { Corpus } from "./corpus.ts";

/** What `<name>.ds.json` says about a token file. */
export interface TokenFileInfo {
  readonly documents: number;
  readonly tokens: number;
  readonly tokenBytes: 2 | 4;
  /** Ids are below it. Unknown for files that datatrove wrote. */
  readonly vocabSize?: number;
  /** The tokenizer's folder name, and the hash of its tokenizer.json. */
  readonly tokenizer?: { readonly name: string; readonly sha256: string };
}

const kChunkBytes = 2 ** 20;

/** An open token file: documents by number. Only the document ends (8 bytes each) are kept in memory. */
export class TokenFile implements Corpus {
  constructor(
    readonly file: string,
    readonly info: TokenFileInfo,
    private readonly ends: Float64Array,
    private readonly handle: FileHandle,
  ) {}

  get documents(): number {
    return this.ends.length;
  }

  length(i: number): number {
    return this.ends[i]! - this.start(i);
  }

  async document(i: number, from = 0, to = this.length(i)): Promise<Int32Array> {
    const { file, info, handle } = this;
    const bytes = await readAt(
      handle,
      file,
      (this.start(i) + from) * info.tokenBytes,
      (to - from) * info.tokenBytes,
    );
    const ids = Int32Array.from(
      info.tokenBytes === 2 ? new Uint16Array(bytes.buffer) : new Uint32Array(bytes.buffer),
    );
    if (info.vocabSize !== undefined) checkIds(ids, info.vocabSize, file, i);
    return ids;
  }

  async close(): Promise<void> {
    await this.handle.close();
  }

  private start(i: number): number {
    return i === 0 ? 0 : this.ends[i - 1]!;
  }
}

/**
 * Opens a token file of writeTokenFile or of datatrove, checking sizes against each other.
 * @throws FormatError if the file or its index is missing, the index falls or doesn't end where the tokens end, or `.json`
 * says otherwise.
 */
export async function openTokenFile(file: string): Promise<TokenFile> {
  const handle = await open(file, "r").catch((error: NodeJS.ErrnoException) => {
    throw new FormatError(`${file}: ${systemReason(error)}`, file);
  });
  try {
    const ends = await readIndex(`${file}.index`);
    const tokens = ends.at(-1) ?? 0;
    const { size } = await handle.stat();
    const described = await readInfo(`${file}.json`);
    const tokenBytes = described?.tokenBytes ?? (size === tokens * 4 && tokens > 0 ? 4 : 2);
    const info: TokenFileInfo = { ...described, documents: ends.length, tokens, tokenBytes };
    if (size !== tokens * tokenBytes) {
      const needed = described ? tokens * tokenBytes : `${tokens * 2} or ${tokens * 4}`;
      throw new FormatError(
        `${file}: ${size} bytes; its index ends at token ${tokens}, ${needed} bytes were needed.`,
        file,
      );
    }
    for (const key of ["documents", "tokens"] as const) {
      if (described && described[key] !== info[key]) {
        throw new FormatError(
          `${file}.json: ${key} is ${described[key]}, the index has ${info[key]}.`,
          `${file}.json`,
        );
      }
    }
    return new TokenFile(file, info, ends, handle);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readIndex(file: string): Promise<Float64Array> {
  const handle = await open(file, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    throw new FormatError(
      `openTokenFile: ${file} is missing. The token file was not written to its end.`,
      file,
    );
  });
  try {
    const { size } = await handle.stat();
    if (size % 8 !== 0)
      throw new FormatError(`${file}: ${size} bytes, 8 for each document were needed.`, file);
    const ends = new Float64Array(size / 8);
    for (let at = 0; at < size; at += kChunkBytes) {
      const bytes = await readAt(handle, file, at, Math.min(kChunkBytes, size - at));
      new BigUint64Array(bytes.buffer).forEach((end, i) => {
        const d = at / 8 + i;
        const before = d === 0 ? 0 : ends[d - 1]!;
        ends[d] = Number(end);
        if (ends[d] >= before && ends[d] <= Number.MAX_SAFE_INTEGER) return;
        throw new FormatError(
          `${file}: document ${d} ends at token ${end}, the one before it at ${before}.`,
          file,
        );
      });
    }
    return ends;
  } finally {
    await handle.close();
  }
}

async function readInfo(file: string): Promise<TokenFileInfo | undefined> {
  const text = await readTextIfThere(file);
  if (text === undefined) return undefined;
  const info = parseJson(text, file);
  if (!isObject(info) || (info.tokenBytes !== 2 && info.tokenBytes !== 4)) {
    throw new FormatError(
      `${file}: tokenBytes is ${isObject(info) ? info.tokenBytes : "missing"}, 2 or 4 was needed.`,
      file,
    );
  }
  return info as unknown as TokenFileInfo;
}

/** Throws FormatError for an id outside the vocabulary. */
export function checkIds(ids: ArrayLike<number>, vocabSize: number, file: string, document: number): void {
  for (let t = 0; t < ids.length; t++) {
    const id = ids[t]!;
    if (Number.isInteger(id) && id >= 0 && id < vocabSize) continue;
    throw new FormatError(
      `${file}: document ${document} has id ${id} at ${t}, the vocabulary has ${vocabSize}.`,
      file,
    );
  }
}
