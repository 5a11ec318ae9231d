import { existsSync, readdirSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import path from "node:path";
import { ConfigError, FormatError } from "../../../core/errors.ts";
import { writeFileAtomically, writeFully } from "../../../io/atomic.ts";
import type { SignatureSettings } from "../signature_options.ts";
import { bucketFolder, indexMatchesFile, kIndexed, pairsFile, readDone, writeDone } from "./layout.ts";
import { compareKeys, mergeRecords, RecordFile, type RecordShape, wordsOf } from "./merge.ts";

export interface BucketsTask {
  readonly stage: "buckets";
  readonly bucket: number;
  /** How many input files there are: as many files of signatures are looked for. */
  readonly files: number;
  readonly signatures: string;
  /** Folders of known texts: signatures of an earlier run, or an index that datatrove made. */
  readonly index: readonly string[];
  /** Where pairs go. */
  readonly folder: string;
  readonly settings: SignatureSettings;
}

/** Memory for the pieces of all files that are merged; but at least 4 KiB a file. */
const kMergeBytes = 2 ** 26;
const kPieceBytes = 2 ** 16;

/** Numbers of the files in a bucket's folder, by name. */
function signatureFiles(folder: string): Map<number, string> {
  const found = new Map<number, string>();
  for (const name of existsSync(folder) ? readdirSync(folder).sort() : []) {
    const [, number] = /^(\d+)\.minhash\.sig$/.exec(name) ?? [];
    if (number === undefined)
      throw new FormatError(
        `dedup.minhash: ${path.join(folder, name)} is no file of signatures, names like 00000.minhash.sig were needed. Take it away`,
        path.join(folder, name),
      );
    found.set(Number(number), path.join(folder, name));
  }
  return found;
}

/** The bucket's files of the input, none missing and none too many. */
function inputFiles({ signatures, bucket, files }: BucketsTask): string[] {
  const folder = path.join(signatures, bucketFolder(bucket));
  const found = signatureFiles(folder);
  for (const number of found.keys()) {
    if (number < files) continue;
    throw new FormatError(
      `dedup.minhash: ${found.get(number)} belongs to none of the ${files} input files. Take it away, or another state folder`,
      found.get(number),
    );
  }
  return Array.from({ length: files }, (_, number) => {
    const file = found.get(number);
    if (file !== undefined) return file;
    throw new FormatError(
      `dedup.minhash: ${folder} holds no signatures of input file ${number}. Run the stage "signatures" first`,
      folder,
    );
  });
}

/** A sorted file of known texts: with documents' numbers if it is of an earlier run. */
interface IndexFile {
  readonly index: number;
  readonly file: number;
  readonly path: string;
  readonly numbered: boolean;
}

function indexFiles({ index, bucket }: BucketsTask): IndexFile[] {
  return index.flatMap((root, i) => {
    const folder = path.join(root, bucketFolder(bucket));
    const names = existsSync(folder) ? readdirSync(folder).sort() : [];
    const found = names.flatMap((name): IndexFile[] => {
      const whole = { index: i, path: path.join(folder, name) };
      const [, number] = /^(\d+)\.minhash\.sig$/.exec(name) ?? [];
      if (number !== undefined) return [{ ...whole, file: Number(number), numbered: true }];
      return name.endsWith(".minhash.index") ? [{ ...whole, file: kIndexed, numbered: false }] : [];
    });
    if (found.length === 0)
      throw new ConfigError(
        `dedup.minhash: index ${root} holds no ${bucketFolder(bucket)} with .minhash.sig or .minhash.index files. Name the folder "signatures" of an earlier run`,
        "index",
      );
    return found;
  });
}

/** Collects u32 for a file, in pieces. */
class WordSink {
  private readonly piece = new Uint32Array(kPieceBytes / 4);
  private used = 0;
  readonly full: Uint8Array[] = [];

  add(...words: number[]): void {
    if (this.used + words.length > this.piece.length) this.cut();
    for (const word of words) this.piece[this.used++] = word;
  }

  async writeTo(handle: FileHandle): Promise<void> {
    for (const full of this.full.splice(0)) await writeFully(handle, full);
  }

  async end(handle: FileHandle): Promise<void> {
    this.cut();
    await this.writeTo(handle);
  }

  private cut(): void {
    this.full.push(new Uint8Array(this.piece.slice(0, this.used).buffer));
    this.used = 0;
  }
}

/** Stage 2: the pairs of documents whose values of one bucket are equal, each with the one before it. */
export async function findPairs(task: BucketsTask): Promise<void> {
  const { bucket, folder, settings } = task;
  if (readDone(folder, bucket) !== undefined) return;
  const shape: RecordShape = {
    fields: settings.hashesPerBucket,
    wide: settings.precision === 64,
    numbered: true,
  };
  const inputs = inputFiles(task);
  const known = indexFiles(task);
  const piece = Math.max(4096, Math.min(2 ** 20, Math.floor(kMergeBytes / (inputs.length + known.length))));
  // Known texts come first among equals: orders below 0.
  const merged = [
    ...known.map(
      ({ path: file, numbered }, i) => new RecordFile(file, { ...shape, numbered }, i - known.length, piece),
    ),
    ...inputs.map((file, i) => new RecordFile(file, shape, i, piece)),
  ];
  let pairs = 0;
  let matches = 0;
  const last = new Uint32Array(wordsOf(shape));
  let before: { file: number; document: number } | undefined;
  let indexed: { index: number; file: number; document: number } | undefined;
  const pairSink = new WordSink();
  const matchSink = new WordSink();
  const take = (at: RecordFile): void => {
    if (compareKeys(last, 0, at.words, at.at, shape) !== 0 || (!before && !indexed)) {
      last.set(at.words.subarray(at.at, at.at + wordsOf(shape)));
      before = indexed = undefined;
    }
    const document = at.shape.numbered ? at.document : kIndexed;
    if (at.order < 0) {
      const { index, file } = known[at.order + known.length]!;
      indexed ??= { index, file, document };
      return;
    }
    if (indexed !== undefined) {
      pairSink.add(kIndexed, kIndexed, at.order, document);
      matchSink.add(at.order, document, indexed.index, indexed.file, indexed.document);
      matches++;
    } else if (before !== undefined) {
      pairSink.add(before.file, before.document, at.order, document);
      pairs++;
    }
    before = { file: at.order, document };
  };
  const merge = async (pairsTo: FileHandle, matchesTo?: FileHandle): Promise<void> => {
    for (const at of mergeRecords(merged)) {
      take(at);
      if (pairSink.full.length > 0) await pairSink.writeTo(pairsTo);
      if (matchSink.full.length > 0) await matchSink.writeTo(matchesTo!);
    }
    await pairSink.end(pairsTo);
    if (matchesTo) await matchSink.end(matchesTo);
  };
  const names = [pairsFile(bucket), ...(known.length > 0 ? [indexMatchesFile(bucket)] : [])];
  const [pairsAt, matchesAt] = names.map((name) => path.join(folder, name));
  await writeFileAtomically(pairsAt!, (pairsTo) =>
    matchesAt === undefined
      ? merge(pairsTo)
      : writeFileAtomically(matchesAt, (matchesTo) => merge(pairsTo, matchesTo)),
  );
  await writeDone(folder, bucket, { files: names, counts: { pairs, matches } });
}
