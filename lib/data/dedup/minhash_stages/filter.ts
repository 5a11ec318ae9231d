import { existsSync } from "node:fs";
import path from "node:path";
import { FormatError } from "../../../core/errors.ts";
import { writeFileAtomically } from "../../../io/atomic.ts";
import { isObject } from "../../../io/json.ts";
import { indexMatches } from "./clusters.ts";
import { GzipLines } from "./gzip_lines.ts";
import { kIndexed, matchesFile, outputFile, readDone, readWords, removeFile, writeDone } from "./layout.ts";
import { type DocumentLine, readDocuments } from "./read_documents.ts";

export interface FilterTask {
  readonly stage: "filter";
  readonly file: number;
  /** All input files: the others are named in matches. */
  readonly inputs: readonly string[];
  /** Where the numbers of documents to drop are. */
  readonly clusters: string;
  readonly pairs: string;
  readonly buckets: number;
  readonly index: readonly string[];
  /** Where documents go: kept ones, below it "removed" and "matches". */
  readonly output: string;
  /** Where it is noted that the task is done. */
  readonly folder: string;
}

/** What a document was dropped for: one that stays, or one of an index; null where none stays or none is known. */
type Original =
  | { readonly file: string; readonly document: number }
  | { readonly index: string; readonly file?: number; readonly document?: number }
  | null;

/** Number of each document to drop → what for. `.remove` decides; `.matches` are there if we made it. */
function toDrop(task: FilterTask): Map<number, Original> {
  const { clusters, file, inputs, index } = task;
  const removed = path.join(clusters, removeFile(file));
  if (!existsSync(removed)) return new Map(); // datatrove writes none where nothing is to be dropped
  const drop = new Map<number, Original>();
  let last = -1;
  for (const document of readWords(removed, 4)) {
    if (document <= last)
      throw new FormatError(
        `dedup.minhash: ${removed}: document ${document} follows ${last}, ascending numbers were needed. Run the stage "clusters" again`,
        removed,
      );
    drop.set(document, null);
    last = document;
  }
  const matches = path.join(clusters, matchesFile(file));
  if (!existsSync(matches)) return drop;
  const known = index.length > 0 ? indexMatches(task.pairs, task.buckets, file) : new Map();
  const words = readWords(matches, 12);
  for (let i = 0; i < words.length; i += 3) {
    const [document, ofFile, of] = words.subarray(i, i + 3) as unknown as [number, number, number];
    if (!drop.has(document)) continue;
    if (ofFile !== kIndexed) drop.set(document, { file: inputs[ofFile]!, document: of });
    else if (known.has(document)) {
      const [which, inFile, at] = known.get(document)!;
      const folder = index[which]!;
      drop.set(document, at === kIndexed ? { index: folder } : { index: folder, file: inFile, document: at });
    }
  }
  return drop;
}

const withOriginal = ({ row }: DocumentLine, original: Original): string => {
  const metadata = isObject(row.metadata) ? row.metadata : {};
  return JSON.stringify({ ...row, metadata: { ...metadata, duplicateOf: original } });
};

/** Stage 4: copies the documents that stay, line by line as they were, and apart those that go. */
export async function filterFile(task: FilterTask): Promise<void> {
  const { file, inputs, output, folder } = task;
  if (readDone(folder, file) !== undefined) return;
  const input = inputs[file]!;
  const drop = toDrop(task);
  const name = outputFile(file);
  const at = (...parts: string[]) => path.join(output, ...parts, name);
  let read = 0;
  let removed = 0;
  await writeFileAtomically(at(), (keptTo) =>
    writeFileAtomically(at("removed"), (removedTo) =>
      writeFileAtomically(at("matches"), async (matchesTo) => {
        const [kept, gone, matches] = [keptTo, removedTo, matchesTo].map(
          (handle) => new GzipLines(handle),
        ) as [GzipLines, GzipLines, GzipLines];
        for await (const document of readDocuments(input)) {
          read++;
          const original = drop.get(document.number);
          if (original === undefined) {
            await kept.add(document.raw);
            continue;
          }
          removed++;
          await gone.add(withOriginal(document, original));
          const { id } = document.row;
          await matches.add(JSON.stringify({ file: input, document: document.number, id, of: original }));
        }
        if (removed !== drop.size)
          throw new FormatError(
            `dedup.minhash: ${removeFile(file)} drops ${drop.size} documents, ${removed} of them are among the ${read} of ${input}. Take the files that it was made from`,
            input,
          );
        for (const lines of [kept, gone, matches]) await lines.end();
      }),
    ),
  );
  const files = [at(), at("removed"), at("matches")].map((written) => path.relative(folder, written));
  await writeDone(folder, file, { files, counts: { read, removed } });
}
