import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { FormatError } from "../../../core/errors.ts";
import { UnionFind } from "../union_find.ts";
import {
  indexMatchesFile,
  kIndexed,
  matchesFile,
  pairsFile,
  readDone,
  readWords,
  removeFile,
  scoresFile,
  writeDone,
  writeWords,
} from "./layout.ts";

export interface ClustersTask {
  readonly stage: "clusters";
  readonly buckets: number;
  readonly files: number;
  /** Where pairs are. */
  readonly pairs: string;
  /** Where scores are. */
  readonly signatures: string;
  /** Where the numbers of documents to drop go. */
  readonly folder: string;
  readonly keep: Keep;
}

/** Which document of a cluster stays: the first, the one of the highest score, or none. */
export type Keep = "one" | "best" | "none";

/** The files of pairs: one a bucket if we made them, as many for each bucket as it had workers if datatrove did. */
function pairFiles(folder: string, buckets: number): string[] {
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  return Array.from({ length: buckets }, (_, bucket) => {
    const begin = pairsFile(bucket).replace(/00\.dups$/, "");
    const found = names.filter((name) => name.startsWith(begin) && name.endsWith(".dups"));
    if (found.length > 0) return found.map((name) => path.join(folder, name));
    throw new FormatError(
      `dedup.minhash: ${folder} holds no pairs of bucket ${bucket} (${pairsFile(bucket)}). Run the stage "buckets" first`,
      folder,
    );
  }).flat();
}

/** Documents of all files under one numbering: those of file f begin at `first[f]`. */
function numbering(pairs: readonly string[], files: number): { first: number[]; total: number } {
  const most = new Array<number>(files).fill(0);
  for (const file of pairs) {
    const words = readWords(file, 16);
    for (let i = 0; i < words.length; i += 2) {
      const [of, document] = [words[i]!, words[i + 1]!];
      if (of === kIndexed && i % 4 === 0) continue;
      if (of >= files)
        throw new FormatError(
          `dedup.minhash: ${file} pairs a document of file ${of}, of files 0 to ${files - 1} was needed. Run the stage "buckets" again`,
          file,
        );
      if (document >= most[of]!) most[of] = document + 1;
    }
  }
  const first: number[] = [];
  let total = 0;
  for (const count of most) {
    first.push(total);
    total += count;
  }
  return { first, total };
}

/**
 * Stage 3: which documents to drop, and for the sake of which other one. One task sees all pairs: it holds 9 bytes (17 to keep the best) for each
 * document up to the last one of its file that is in a pair, and one bucket's pairs.
 */
export async function findClusters(task: ClustersTask): Promise<void> {
  const { folder, files, keep } = task;
  if (readDone(folder, 0) !== undefined) return;
  const pairs = pairFiles(task.pairs, task.buckets);
  const { first, total } = numbering(pairs, files);
  const sets = new UnionFind(total);
  /** 1: in a pair; 2: its text is in the index; 4: that of one of its cluster, at the root. */
  const seen = new Uint8Array(total);
  for (const file of pairs) {
    const words = readWords(file, 16);
    for (let i = 0; i < words.length; i += 4) {
      const later = first[words[i + 2]!]! + words[i + 3]!;
      if (words[i] === kIndexed) {
        seen[later]! |= 2;
        continue;
      }
      const earlier = first[words[i]!]! + words[i + 1]!;
      seen[earlier]! |= 1;
      seen[later]! |= 1;
      sets.join(earlier, later);
    }
  }
  const kept = keptOf(task, { first, total, sets, seen });
  const names: string[] = [];
  let removed = 0;
  for (let file = 0; file < files; file++) {
    const drop: number[] = [];
    const because: number[] = [];
    const end = first[file + 1] ?? total;
    for (let id = first[file]!; id < end; id++) {
      if (seen[id] === 0) continue;
      const root = sets.root(id);
      if (kept[root] === id) continue;
      const document = id - first[file]!;
      drop.push(document);
      // Where none stays, the first of the cluster is named to the others.
      const stays = keep === "none" && !(seen[root]! & 4) && root !== id ? root : kept[root]!;
      const of = stays === kIndexed ? kIndexed : fileOf(first, stays);
      because.push(document, of, of === kIndexed ? kIndexed : stays - first[of]!);
    }
    removed += drop.length;
    await writeWords(path.join(folder, removeFile(file)), Uint32Array.from(drop));
    await writeWords(path.join(folder, matchesFile(file)), Uint32Array.from(because));
    names.push(removeFile(file), matchesFile(file));
  }
  await writeDone(folder, 0, { files: names, counts: { removed } });
}

/** The file of a document: the last one that begins at it or before, and isn't empty. */
function fileOf(first: readonly number[], id: number): number {
  let low = 0;
  let high = first.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (first[middle]! <= id) low = middle;
    else high = middle;
  }
  return low;
}

/** For each root the document that stays, or 0xFFFFFFFF. */
function keptOf(
  { keep, signatures, files }: ClustersTask,
  { first, total, sets, seen }: { first: number[]; total: number; sets: UnionFind; seen: Uint8Array },
): Uint32Array {
  const kept = new Uint32Array(total);
  for (let id = 0; id < total; id++) kept[id] = keep === "none" ? kIndexed : id;
  if (keep === "best") {
    const best = new Float64Array(total).fill(Number.NEGATIVE_INFINITY);
    for (let file = 0; file < files; file++) {
      const words = readWords(path.join(signatures, scoresFile(file)), 8);
      const scores = new Float64Array(words.buffer);
      const end = first[file + 1] ?? total;
      for (let id = first[file]!; id < end; id++) {
        const root = sets.root(id);
        const score = scores[id - first[file]!]!;
        if (score > best[root]!) {
          best[root] = score;
          kept[root] = id;
        }
      }
    }
  }
  for (let id = 0; id < total; id++) {
    if (!(seen[id]! & 2)) continue;
    const root = sets.root(id);
    kept[root] = kIndexed;
    seen[root]! |= 4;
  }
  return kept;
}

/** What the index says of documents: number → which index, its file, its document. The first bucket that matched counts. */
export function indexMatches(pairs: string, buckets: number, file: number): Map<number, readonly number[]> {
  const found = new Map<number, readonly number[]>();
  for (let bucket = 0; bucket < buckets; bucket++) {
    const words = readWords(path.join(pairs, indexMatchesFile(bucket)), 20);
    for (let i = 0; i < words.length; i += 5) {
      if (words[i] === file && !found.has(words[i + 1]!))
        found.set(words[i + 1]!, [...words.subarray(i + 2, i + 5)]);
    }
  }
  return found;
}
