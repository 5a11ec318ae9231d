import { readdir } from "node:fs/promises";
import path from "node:path";
import { isObject } from "../../io/json.ts";
import { readRows } from "../../io/rows.ts";

/** A dropped document, as much of it as is shown. */
export interface DroppedExample {
  readonly step: string;
  readonly reason: string;
  readonly id: string;
  readonly text: string;
}

/** Characters of a text that are shown. */
const kShown = 600;

/**
 * The first documents of each reason in a pipeline's `rejected` folder, `perReason` of each, steps and reasons in the order of
 * their names. Nothing for a folder that isn't there: nothing was dropped.
 */
export async function droppedExamples(rejected: string, perReason = 2): Promise<DroppedExample[]> {
  const examples: DroppedExample[] = [];
  for (const step of await foldersIn(rejected)) {
    for (const folder of await foldersIn(path.join(rejected, step))) {
      const dir = path.join(rejected, step, folder);
      const files = (await readdir(dir)).filter((name) => name.endsWith(".jsonl.gz")).sort();
      const found = await firstDocuments(
        files.map((name) => path.join(dir, name)),
        perReason,
      );
      examples.push(...found.map(({ reason, ...rest }) => ({ step, reason: reason ?? folder, ...rest })));
    }
  }
  return examples;
}

/** The first documents of files that a writer made. */
export async function firstDocuments(
  files: readonly string[],
  most: number,
): Promise<{ id: string; text: string; reason: string | undefined }[]> {
  const found: { id: string; text: string; reason: string | undefined }[] = [];
  for (const file of files) {
    for await (const { value } of readRows(file)) {
      if (found.length === most) return found;
      if (!isObject(value)) continue;
      const { id, text, metadata } = value;
      const reason = isObject(metadata) ? metadata.filter_reason : undefined;
      found.push({
        id: String(id),
        text: String(text).slice(0, kShown),
        reason: reason === undefined ? undefined : String(reason),
      });
    }
  }
  return found;
}

async function foldersIn(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort();
}
