import { existsSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { FormatError } from "../../../core/errors.ts";
import { writeFileAtomically } from "../../../io/atomic.ts";
import { parseJson } from "../../../io/json.ts";

/**
 * Where the stages keep their files, after datatrove: all numbers are little-endian.
 * - signatures/bucket_000/00000.minhash.sig: a record for each document with shingles, its bucket's values (u64, or u32) and
 *   its number in the file (u32), ascending
 * - buckets/00000_00.dups: four u32 a pair, file and document of both; 0xFFFFFFFF twice stands for one of the index
 * - clusters/000000.remove: the numbers of documents to drop (u32), ascending
 * Beside those, files of ours: 00000.json says that a task is done, and what it wrote.
 */
export const kIndexed = 0xffffffff;

const pad = (n: number, digits: number): string => String(n).padStart(digits, "0");

export const bucketFolder = (bucket: number): string => `bucket_${pad(bucket, 3)}`;
export const signatureFile = (bucket: number, file: number): string =>
  `${bucketFolder(bucket)}/${pad(file, 5)}.minhash.sig`;
export const pairsFile = (bucket: number): string => `${pad(bucket, 5)}_00.dups`;
export const removeFile = (file: number): string => `${pad(file, 6)}.remove`;
/** Three u32 a document to drop: its number, and file and document of the one that stays (or 0xFFFFFFFF). */
export const matchesFile = (file: number): string => `${pad(file, 6)}.matches`;
/** Five u32 a match with the index: file, document; which index, its file, its document (or 0xFFFFFFFF). */
export const indexMatchesFile = (bucket: number): string => `${pad(bucket, 5)}.index_matches`;
/** One f64 a document: what `keep: "best"` goes by. */
export const scoresFile = (file: number): string => `${pad(file, 5)}.scores`;
export const outputFile = (file: number): string => `${pad(file, 5)}.jsonl.gz`;

/** What a finished task has written, and what it counted. */
export interface Done {
  /** Path below the stage's folder → bytes. */
  readonly files: Readonly<Record<string, number>>;
  readonly counts: Readonly<Record<string, number>>;
}

const doneFile = (folder: string, task: number): string => path.join(folder, `${pad(task, 5)}.json`);

/** Says that a task is done: the last thing it does. */
export async function writeDone(
  folder: string,
  task: number,
  { files, counts }: { files: readonly string[]; counts: Readonly<Record<string, number>> },
): Promise<void> {
  const sizes = Object.fromEntries(files.map((file) => [file, statSync(path.join(folder, file)).size]));
  const text = `${JSON.stringify({ files: sizes, counts })}\n`;
  await writeFileAtomically(doneFile(folder, task), (handle) => handle.writeFile(text));
}

/**
 * What a finished task wrote, or undefined if it isn't finished.
 * @throws FormatError naming a file that is gone or has another length than it was written with.
 */
export function readDone(folder: string, task: number): Done | undefined {
  const note = doneFile(folder, task);
  if (!existsSync(note)) return undefined;
  const done = parseJson(readFileSync(note, "utf8"), note) as Done;
  for (const [name, bytes] of Object.entries(done.files)) {
    const file = path.join(folder, name);
    const found = statSync(file, { throwIfNoEntry: false })?.size;
    if (found === bytes) continue;
    const what = found === undefined ? "is gone" : `is ${found} bytes`;
    throw new FormatError(
      `dedup.minhash: ${file} ${what}, ${bytes} bytes were written. Delete ${note}, and the task runs again`,
      file,
    );
  }
  return done;
}

/** Bytes of a file of records. @throws FormatError if there is no such file, or its length isn't a multiple of a record's. */
export function recordBytes(file: string, bytes: number): number {
  const found = statSync(file, { throwIfNoEntry: false })?.size;
  if (found !== undefined && found % bytes === 0) return found;
  const what = found === undefined ? "is not there" : `is ${found} bytes`;
  throw new FormatError(
    `dedup.minhash: ${file} ${what}, a file of whole records of ${bytes} bytes was needed. Run the stage before again`,
    file,
  );
}

/** All u32 of a file of records of `bytes` bytes. */
export function readWords(file: string, bytes: number): Uint32Array {
  const count = recordBytes(file, bytes) / 4;
  const words = new Uint32Array(count);
  new Uint8Array(words.buffer).set(readFileSync(file));
  return words;
}

/** Writes u32 so that the file is there as a whole or not at all. */
export async function writeWords(file: string, words: Uint32Array): Promise<void> {
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  await writeFileAtomically(file, (handle) => handle.writeFile(bytes));
}
