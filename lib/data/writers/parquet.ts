import path from "node:path";
import type { ColumnSource } from "hyparquet-writer";
import { checkWhole, refuseUnknown } from "../../core/options.ts";
import type { Document } from "../document.ts";
import { bigintAsText } from "../document_line.ts";
import { type Output, type Step, taskName } from "../step.ts";
import { targetOf } from "./folder.ts";

const kStep = "write.parquet";

/** Text of a row group at most: what is in memory of each file. */
const kGroupBytes = 2 ** 24;

export interface ParquetOptions {
  /** A word of the metadata by which documents go into folders: "language". */
  readonly splitBy?: string | undefined;
  /** Documents of a row group, fewer where they are long. Default 10,000. */
  readonly rowGroupSize?: number | undefined;
}

/**
 * Writes each document as a row of `<dir>/00000.parquet`, with the number of the task, and hands it on: columns `text`, `id`
 * and `metadata`, the last as JSON text, which datatrove's reader and read.parquet take for the object it is. Compressed by
 * snappy.
 */
export function parquet(dir: string, options: ParquetOptions = {}): Step {
  refuseUnknown(kStep, options, ["splitBy", "rowGroupSize"]);
  const { splitBy, rowGroupSize = 10_000 } = options;
  checkWhole(kStep, { rowGroupSize }, 1);
  return {
    description: { step: kStep, options: { dir, ...options } },
    async *run(documents, context) {
      const files = new Map<string, ParquetFile>();
      const fileOf = async (target: string): Promise<ParquetFile> => {
        const file =
          files.get(target) ?? (await ParquetFile.open(await context.create(target), rowGroupSize));
        files.set(target, file);
        return file;
      };
      for await (const document of documents) {
        const target = targetOf(kStep, document, { dir, splitBy, suffix: ".parquet" }, context);
        await (await fileOf(target)).add(document);
        yield document;
      }
      if (files.size === 0 && splitBy === undefined)
        await fileOf(path.join(dir, `${taskName(context)}.parquet`));
      for (const file of files.values()) await file.finish();
    },
  };
}

type Library = typeof import("hyparquet-writer");

class ParquetFile {
  private rows: Document[] = [];
  private bytes = 0;

  private constructor(
    private readonly output: Output,
    private readonly groupSize: number,
    private readonly buffer: InstanceType<Library["ByteWriter"]>,
    private readonly writer: InstanceType<Library["ParquetWriter"]>,
  ) {}

  static async open(output: Output, groupSize: number): Promise<ParquetFile> {
    const { ByteWriter, ParquetWriter } = await import("hyparquet-writer");
    const writer = new ByteWriter();
    const required = { type: "BYTE_ARRAY", repetition_type: "REQUIRED" } as const;
    const schema = [
      { name: "root", num_children: 3 },
      { name: "text", ...required, converted_type: "UTF8" as const },
      { name: "id", ...required, converted_type: "UTF8" as const },
      { name: "metadata", ...required, converted_type: "UTF8" as const },
    ];
    const createdBy = "mixwright";
    return new ParquetFile(
      output,
      groupSize,
      writer,
      new ParquetWriter({ writer, schema, createdBy, statistics: false }),
    );
  }

  async add(document: Document): Promise<void> {
    this.rows.push(document);
    this.bytes += document.text.length;
    if (this.rows.length >= this.groupSize || this.bytes >= kGroupBytes) await this.writeGroup();
  }

  async finish(): Promise<void> {
    if (this.rows.length > 0) await this.writeGroup();
    await this.writer.finish();
    await this.drain();
  }

  private async writeGroup(): Promise<void> {
    const column = (name: string, of: (document: Document) => string): ColumnSource => ({
      name,
      data: this.rows.map(of),
    });
    const columnData = [
      column("text", ({ text }) => text),
      column("id", ({ id }) => id),
      column("metadata", ({ metadata }) => JSON.stringify(metadata, bigintAsText)),
    ];
    await this.writer.write({ columnData, rowGroupSize: this.rows.length });
    this.rows = [];
    this.bytes = 0;
    await this.drain();
  }

  /** The library's buffer may be reset when its bytes are written; it goes on counting them. */
  private async drain(): Promise<void> {
    await this.output.write(this.buffer.getBytes().slice());
    this.buffer.index = 0;
  }
}
