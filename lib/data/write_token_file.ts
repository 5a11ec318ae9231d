import { createHash } from "node:crypto";
import { type FileHandle, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { ConfigError } from "../core/errors.ts";
import { writeFileAtomically, writeFully } from "../io/atomic.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { checkIds, type TokenFileInfo } from "./token_file.ts";

const kChunkBytes = 2 ** 20;

/**
 * Writes datatrove's token layout: `file` (`<name>.ds`) has the ids of all documents end to end, u16 little-endian where the
 * vocabulary fits, else u32; `.index` the document ends in tokens, u64; `.metadata` datatrove's two lines; `.json` ours.
 * Holds one chunk at a time. Every file appears by a rename, the index last: without it the others are not read.
 * @throws FormatError for an id outside the vocabulary; nothing is left then.
 */
export async function writeTokenFile(
  file: string,
  documents: AsyncIterable<ArrayLike<number>> | Iterable<ArrayLike<number>>,
  from: { tokenizer?: Tokenizer; vocabSize?: number },
): Promise<TokenFileInfo> {
  const vocabSize = from.vocabSize ?? from.tokenizer?.vocabSize;
  if (vocabSize === undefined || !Number.isInteger(vocabSize) || vocabSize < 1 || vocabSize > 2 ** 31) {
    throw new ConfigError(
      `writeTokenFile: vocabSize is ${vocabSize}, a whole number from 1 to 2^31 was needed, or a tokenizer`,
      "vocabSize",
    );
  }
  const tokenBytes = tokenBytesOf(vocabSize);
  const tokenizer = from.tokenizer && (await tokenizerIdentity(from.tokenizer));
  let count = 0;
  let tokens = 0;
  let info!: TokenFileInfo;
  await writeFileAtomically(`${file}.index`, async (indexHandle) => {
    await writeFileAtomically(file, async (dataHandle) => {
      const index = new ChunkWriter(indexHandle);
      const data = new ChunkWriter(dataHandle);
      for await (const ids of documents) {
        checkIds(ids, vocabSize, file, count);
        await data.write(bytesOfIds(ids, tokenBytes));
        tokens += ids.length;
        count++;
        await index.write(bytesOfEnd(tokens));
      }
      await data.flush();
      await index.flush();
      await rm(`${file}.index`, { force: true });
    });
    info = { documents: count, tokens, tokenBytes, vocabSize, ...(tokenizer && { tokenizer }) };
    for (const [suffix, text] of Object.entries(textsBeside(info))) await writeText(`${file}${suffix}`, text);
  });
  return info;
}

/** Bytes of an id: two where the vocabulary fits. */
export const tokenBytesOf = (vocabSize: number): 2 | 4 => (vocabSize <= 2 ** 16 ? 2 : 4);

/** Ids as they stand in the file. */
export const bytesOfIds = (ids: ArrayLike<number>, tokenBytes: 2 | 4): Buffer =>
  Buffer.from((tokenBytes === 2 ? Uint16Array : Uint32Array).from(ids).buffer);

/** The end of a document as it stands in the index. */
export const bytesOfEnd = (tokens: number): Buffer => Buffer.from(BigUint64Array.of(BigInt(tokens)).buffer);

/** The texts beside a token file, by what their names end in: ours, and datatrove's two lines. */
export const textsBeside = (info: TokenFileInfo): Record<".json" | ".metadata", string> => ({
  ".json": `${JSON.stringify(info, null, 2)}\n`,
  ".metadata": `${info.tokenizer?.name ?? "Unknown Tokenizer"}|${info.tokenBytes}\n${info.tokens}\n`,
});

/** Which tokenizer wrote a token file. */
export async function tokenizerIdentity({ dir }: Tokenizer): Promise<{ name: string; sha256: string }> {
  const bytes = await readFile(path.join(dir, "tokenizer.json"));
  return {
    name: path.basename(path.resolve(dir)),
    sha256: createHash("sha256").update(bytes).digest("hex"),
  };
}

const writeText = (file: string, text: string): Promise<void> =>
  writeFileAtomically(file, async (handle) => writeFully(handle, Buffer.from(text)));

/** Gathers small writes. */
class ChunkWriter {
  private readonly chunk = Buffer.alloc(kChunkBytes);
  private used = 0;

  constructor(private readonly handle: FileHandle) {}

  async write(bytes: Buffer): Promise<void> {
    if (this.used + bytes.length > kChunkBytes) await this.flush();
    if (bytes.length > kChunkBytes) return writeFully(this.handle, bytes);
    bytes.copy(this.chunk, this.used);
    this.used += bytes.length;
  }

  async flush(): Promise<void> {
    await writeFully(this.handle, this.chunk.subarray(0, this.used));
    this.used = 0;
  }
}
