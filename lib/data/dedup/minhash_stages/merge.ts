import { closeSync, openSync, readSync } from "node:fs";
import { FormatError } from "../../../core/errors.ts";
import { recordBytes } from "./layout.ts";

/** Shape of a record: a key of `fields` numbers, 64 or 32 bits wide, and perhaps a document's number behind it. */
export interface RecordShape {
  readonly fields: number;
  readonly wide: boolean;
  readonly numbered: boolean;
}

export const wordsOf = ({ fields, wide, numbered }: RecordShape): number =>
  fields * (wide ? 2 : 1) + (numbered ? 1 : 0);

/** Order of two keys: below 0, 0 or above, as for sorting. `i` and `j` are their places, in words. */
export function compareKeys(
  a: Uint32Array,
  i: number,
  b: Uint32Array,
  j: number,
  { fields, wide }: RecordShape,
): number {
  if (!wide) {
    for (let f = 0; f < fields; f++) if (a[i + f] !== b[j + f]) return a[i + f]! - b[j + f]!;
    return 0;
  }
  for (let word = 0; word < 2 * fields; word += 2) {
    const high = a[i + word + 1]! - b[j + word + 1]!;
    if (high !== 0) return high;
    const low = a[i + word]! - b[j + word]!;
    if (low !== 0) return low;
  }
  return 0;
}

/** Reads a sorted file of records, a piece at a time; the file is open only while a piece is read. */
export class RecordFile {
  /** The records at hand, and where the present one begins. */
  words: Uint32Array;
  at = 0;
  private have = 0;
  private read = 0;
  private readonly bytes: number;
  private readonly record: number;

  constructor(
    readonly file: string,
    readonly shape: RecordShape,
    /** Decides among equal keys, lowest first. */
    readonly order: number,
    pieceBytes: number,
  ) {
    this.record = wordsOf(shape);
    this.bytes = recordBytes(file, 4 * this.record);
    const records = Math.max(1, Math.floor(pieceBytes / (4 * this.record)));
    this.words = new Uint32Array(records * this.record);
    this.at = -this.record;
  }

  /** The number of the present record's document. */
  get document(): number {
    return this.words[this.at + this.record - 1]!;
  }

  /** Moves to the next record; false at the end. @throws FormatError if it sorts before the one it follows. */
  next(): boolean {
    const before = this.at;
    this.at += this.record;
    if (this.at < this.have) {
      if (before >= 0) this.check(this.words, before);
      return true;
    }
    const last = before >= 0 ? this.words.slice(before, before + this.record) : undefined;
    this.fill();
    if (last !== undefined && this.have > 0) this.check(last, 0);
    return this.have > 0;
  }

  private fill(): void {
    const target = new Uint8Array(
      this.words.buffer,
      0,
      Math.min(this.words.byteLength, this.bytes - this.read),
    );
    this.have = target.length / 4;
    this.at = 0;
    if (target.length === 0) return;
    const descriptor = openSync(this.file, "r");
    try {
      for (let done = 0; done < target.length; ) {
        const count = readSync(descriptor, target, done, target.length - done, this.read + done);
        if (count === 0)
          throw new FormatError(
            `dedup.minhash: ${this.file} ends at ${this.read + done} bytes, ${this.bytes} were there before. Run the stage before again`,
            this.file,
          );
        done += count;
      }
    } finally {
      closeSync(descriptor);
    }
    this.read += target.length;
  }

  private check(before: Uint32Array, i: number): void {
    const { words, at, shape, record } = this;
    let order = compareKeys(before, i, words, at, shape);
    if (order === 0 && shape.numbered) order = before[i + record - 1]! - words[at + record - 1]!;
    if (order <= 0) return;
    const number = (this.read - 4 * (this.have - at)) / (4 * record);
    throw new FormatError(
      `dedup.minhash: ${this.file}: record ${number} sorts before the one it follows, ascending records were needed. Run the stage before again`,
      this.file,
    );
  }
}

/** All records of sorted files in order, as the file that stands at the next one; equal keys by the files' order. */
export function* mergeRecords(files: readonly RecordFile[]): Generator<RecordFile> {
  const heap: RecordFile[] = [];
  const before = (a: RecordFile, b: RecordFile): boolean =>
    (compareKeys(a.words, a.at, b.words, b.at, a.shape) || a.order - b.order) < 0;
  const sink = (i: number): void => {
    for (;;) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2])
        if (child < heap.length && before(heap[child]!, heap[least]!)) least = child;
      if (least === i) return;
      [heap[i], heap[least]] = [heap[least]!, heap[i]!];
      i = least;
    }
  };
  for (const file of files) if (file.next()) heap.push(file);
  for (let i = heap.length >> 1; i >= 0; i--) sink(i);
  while (heap.length > 0) {
    const top = heap[0]!;
    yield top;
    if (!top.next()) {
      const last = heap.pop()!;
      if (heap.length === 0) return;
      heap[0] = last;
    }
    sink(0);
  }
}
