import { mkdirSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import path from "node:path";
import { writeFileAtomically, writeFully } from "../../../io/atomic.ts";
import type { SignatureSettings } from "../signature_options.ts";
import { signatureFile } from "./layout.ts";
import { compareKeys, mergeRecords, RecordFile, type RecordShape, wordsOf } from "./merge.ts";

const kPieceBytes = 2 ** 18;

/**
 * Takes the signatures of one file's documents, and writes them sorted, a file for each bucket. Holds `memoryBytes` of them;
 * what is more goes to sorted files in a folder of its own, which are merged at the end.
 */
export class SignatureSorter {
  private readonly rows: Uint32Array;
  private readonly documents: Uint32Array;
  private readonly rowWords: number;
  private readonly shape: RecordShape;
  private held = 0;
  private runs = 0;
  private readonly runsFolder: string;

  constructor(
    private readonly settings: SignatureSettings,
    private readonly folder: string,
    private readonly file: number,
    memoryBytes: number,
  ) {
    const { buckets, hashesPerBucket, precision } = settings;
    this.shape = { fields: hashesPerBucket, wide: precision === 64, numbered: true };
    this.rowWords = (buckets * hashesPerBucket * precision) / 32;
    const rows = Math.max(1, Math.floor(memoryBytes / (4 * this.rowWords)));
    this.rows = new Uint32Array(rows * this.rowWords);
    this.documents = new Uint32Array(rows);
    this.runsFolder = path.join(folder, `runs_${file}`);
    rmSync(this.runsFolder, { recursive: true, force: true });
  }

  /** Takes a document's signature; documents come in ascending order. */
  async add(document: number, signature: BigUint64Array): Promise<void> {
    if (this.held === this.documents.length) await this.spill();
    const words = new Uint32Array(signature.buffer, signature.byteOffset, 2 * signature.length);
    const at = this.held * this.rowWords;
    if (this.shape.wide) this.rows.set(words, at);
    else for (let i = 0; i < signature.length; i++) this.rows[at + i] = words[2 * i]!;
    this.documents[this.held++] = document;
  }

  /** Writes the bucket files, each as a whole or not at all. Resolves to their names. */
  async finish(): Promise<string[]> {
    const names = Array.from({ length: this.settings.buckets }, (_, bucket) =>
      signatureFile(bucket, this.file),
    );
    if (this.runs > 0) await this.spill();
    for (const [bucket, name] of names.entries()) {
      await writeFileAtomically(path.join(this.folder, name), async (handle) => {
        if (this.runs === 0) return writeFully(handle, this.sorted(bucket));
        for (const piece of this.merged(bucket)) await writeFully(handle, piece);
      });
    }
    rmSync(this.runsFolder, { recursive: true, force: true });
    return names;
  }

  /** The records of a bucket that are held, sorted. */
  private sorted(bucket: number): Uint8Array {
    const { rows, rowWords, shape, documents, held } = this;
    const record = wordsOf(shape);
    const first = bucket * (record - 1);
    const order = new Uint32Array(held);
    for (let i = 0; i < held; i++) order[i] = i;
    order.sort((i, j) => compareKeys(rows, i * rowWords + first, rows, j * rowWords + first, shape) || i - j);
    const out = new Uint32Array(held * record);
    for (let i = 0; i < held; i++) {
      const from = order[i]! * rowWords + first;
      for (let word = 0; word < record - 1; word++) out[i * record + word] = rows[from + word]!;
      out[(i + 1) * record - 1] = documents[order[i]!]!;
    }
    return new Uint8Array(out.buffer);
  }

  private runFile(bucket: number, run: number): string {
    return path.join(this.runsFolder, `${bucket}_${run}`);
  }

  private async spill(): Promise<void> {
    mkdirSync(this.runsFolder, { recursive: true });
    for (let bucket = 0; bucket < this.settings.buckets; bucket++) {
      const handle = await open(this.runFile(bucket, this.runs), "w");
      await writeFully(handle, this.sorted(bucket)).finally(() => handle.close());
    }
    this.runs++;
    this.held = 0;
  }

  /** Runs follow one another in the documents' order, so among equal keys the earlier run comes first. */
  private *merged(bucket: number): Generator<Uint8Array> {
    const record = wordsOf(this.shape);
    const files = Array.from(
      { length: this.runs },
      (_, run) => new RecordFile(this.runFile(bucket, run), this.shape, run, kPieceBytes),
    );
    const piece = new Uint32Array(record * Math.floor(kPieceBytes / (4 * record)));
    let used = 0;
    for (const { words, at } of mergeRecords(files)) {
      if (used === piece.length) {
        yield new Uint8Array(piece.buffer);
        used = 0;
      }
      for (let word = 0; word < record; word++) piece[used++] = words[at + word]!;
    }
    yield new Uint8Array(piece.buffer, 0, 4 * used);
  }
}
