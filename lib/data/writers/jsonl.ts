import path from "node:path";
import { checkOneOf, checkWhole, refuseUnknown } from "../../core/options.ts";
import { type Compression, compressionSuffix } from "../../io/staged_file.ts";
import { documentLine } from "../document_line.ts";
import { type Output, taskName, type Writer } from "../step.ts";
import { targetOf } from "./folder.ts";

const kStep = "write.jsonl";

export interface JsonlOptions {
  /** Folder for what any step of the pipeline drops; the same as the run's option. */
  readonly rejected?: string | undefined;
  /** Default gzip. */
  readonly compression?: Compression | undefined;
  /** A word of the metadata by which documents go into folders: "language". */
  readonly splitBy?: string | undefined;
  /** A task goes on in another file (000_00000, 001_00000, …) once one has as many bytes, before compression. */
  readonly maxBytesPerFile?: number | undefined;
}

/**
 * Writes each document as a line of `<dir>/00000.jsonl.gz`, with the number of the task: text, id and metadata, as
 * datatrove does, and hands it on. What read.jsonl makes of these files are the same documents.
 */
export function jsonl(dir: string, options: JsonlOptions = {}): Writer {
  refuseUnknown(kStep, options, ["rejected", "compression", "splitBy", "maxBytesPerFile"]);
  const { compression = "gzip", splitBy, maxBytesPerFile, rejected } = options;
  checkOneOf(kStep, "compression", compression, Object.keys(compressionSuffix));
  if (maxBytesPerFile !== undefined) checkWhole(kStep, { maxBytesPerFile }, 1);
  const suffix = `.jsonl${compressionSuffix[compression]}`;
  return {
    description: { step: kStep, options: { dir, ...options } },
    rejected,
    async *run(documents, context) {
      const open = new Map<string, { output: Output; bytes: number; parts: number }>();
      for await (const document of documents) {
        const target = targetOf(kStep, document, { dir, splitBy, suffix }, context);
        const line = Buffer.from(documentLine(document));
        let file = open.get(target);
        if (!file || (maxBytesPerFile !== undefined && file.bytes + line.length > maxBytesPerFile)) {
          const parts = (file?.parts ?? 0) + 1;
          await file?.output.finish();
          const name = maxBytesPerFile === undefined ? target : partOf(target, parts - 1);
          file = { output: await context.create(name, compression), bytes: 0, parts };
          open.set(target, file);
        }
        file.bytes += line.length;
        await file.output.write(line);
        yield document;
      }
      // A task without documents says so by an empty file.
      if (open.size === 0 && splitBy === undefined) {
        const name = path.join(dir, `${taskName(context)}${suffix}`);
        await context.create(maxBytesPerFile === undefined ? name : partOf(name, 0), compression);
      }
    },
  };
}

const partOf = (target: string, part: number): string =>
  path.join(path.dirname(target), `${String(part).padStart(3, "0")}_${path.basename(target)}`);
