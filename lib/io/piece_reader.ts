import type { Piece } from "./gzip_members.ts";

/** Where in a file something begins: `within` counts inflated bytes within the gzip member at `offset`, 0 for plain files. */
export interface Place {
  readonly offset: number;
  readonly within: number;
}

/** Pieces of a file read as one row of bytes, of which only what is asked for is held. */
export class PieceReader {
  /** What is there of the next bytes; always a whole piece's rest at least, never nothing unless `ended` or `broken`. */
  bytes: Buffer = Buffer.alloc(0);
  /** No bytes follow on `bytes`: the file ends, or its next bytes were lost. */
  ended = false;
  private place: Place = { offset: 0, within: 0 };
  private gzipped = false;
  private next: Piece | undefined;

  constructor(private readonly pieces: AsyncIterator<Piece>) {}

  /** Where `bytes` begins. */
  get at(): Place {
    return this.place;
  }

  /** Makes `bytes` at least so long; false where the file, or the stretch up to lost bytes, ends before. */
  async fill(least: number): Promise<boolean> {
    if (this.bytes.length >= least) return true;
    const found = [this.bytes];
    let length = this.bytes.length;
    while (length < least && !this.ended) {
      const piece = await this.pull();
      if (piece === undefined) break;
      if (length === 0) this.begin(piece);
      found.push(piece.bytes);
      length += piece.bytes.length;
    }
    this.bytes = found.length === 2 && found[0]!.length === 0 ? found[1]! : Buffer.concat(found);
    return length >= least;
  }

  /** What is there, at least so much unless the stretch ends before; of a gzip member, what has been inflated suffices. */
  async peek(least: number): Promise<Buffer> {
    if (this.bytes.length === 0 || !this.gzipped) await this.fill(least);
    return this.bytes;
  }

  /** Takes the next bytes away: fewer than asked for where the stretch ends before. */
  async take(length: number): Promise<Buffer> {
    await this.fill(length);
    const taken = this.bytes.subarray(0, length);
    this.drop(taken.length);
    return taken;
  }

  /** Passes over bytes without holding them; returns how many there were. */
  async skip(length: number): Promise<number> {
    let skipped = 0;
    while (skipped < length && (await this.fill(1))) {
      const now = Math.min(length - skipped, this.bytes.length);
      this.drop(now);
      skipped += now;
    }
    return skipped;
  }

  /** Takes away bytes that are there. */
  drop(length: number): void {
    this.bytes = this.bytes.subarray(length);
    const { offset, within } = this.place;
    this.place = this.gzipped ? { offset, within: within + length } : { offset: offset + length, within };
  }

  /** Puts bytes that were just taken back. */
  putBack(bytes: Buffer): void {
    this.bytes = Buffer.concat([bytes, this.bytes]);
    const { offset, within } = this.place;
    this.place = this.gzipped
      ? { offset, within: Math.max(0, within - bytes.length) }
      : { offset: offset - bytes.length, within };
  }

  /** Goes to the stretch behind lost bytes; false at the file's end. */
  goOn(): boolean {
    const piece = this.next;
    if (piece === undefined) return false;
    this.next = undefined;
    this.ended = false;
    this.bytes = piece.bytes;
    this.begin(piece);
    return true;
  }

  private begin({ offset, within, gzipped }: Piece): void {
    this.place = { offset, within };
    this.gzipped = gzipped;
  }

  private async pull(): Promise<Piece | undefined> {
    const { done, value } = await this.pieces.next();
    if (done) this.ended = true;
    else if (value.broken) {
      this.ended = true;
      this.next = value;
    } else return value;
    return undefined;
  }
}
