import type { FileHandle } from "node:fs/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { writeFully } from "../../../io/atomic.ts";

const compress = promisify(gzip);
const kBlockCharacters = 2 ** 20;

/** Writes lines, gzipped: a member for about each million characters, which readers take as one stream. */
export class GzipLines {
  private lines: string[] = [];
  private characters = 0;
  private blocks = 0;

  constructor(private readonly handle: FileHandle) {}

  async add(line: string): Promise<void> {
    this.lines.push(line, "\n");
    this.characters += line.length;
    if (this.characters >= kBlockCharacters) await this.flush();
  }

  /** A file without lines gets one empty member, so that it is a gzip file. */
  async end(): Promise<void> {
    if (this.lines.length > 0 || this.blocks === 0) await this.flush();
  }

  private async flush(): Promise<void> {
    const text = this.lines.join("");
    this.lines = [];
    this.characters = 0;
    this.blocks++;
    await writeFully(this.handle, await compress(text, { level: 4 }));
  }
}
