import type { Document } from "../../lib/data/document.ts";
import type { Reader, TaskContext } from "../../lib/data/step.ts";

/** What a reader gives, without a pipeline: documents, "reason id" of what it drops, and its counts. */
export async function readAll(reader: Reader) {
  const documents: Document[] = [];
  const dropped: string[] = [];
  const counts: Record<string, number> = {};
  const context: TaskContext = {
    task: 0,
    tasks: 1,
    signal: new AbortController().signal,
    drop(_, reason, { id }) {
      dropped.push(`${reason} ${id}`);
    },
    count(name, amount = 1) {
      counts[name] = (counts[name] ?? 0) + amount;
    },
    create: (file) => {
      throw new Error(`a reader wants to write ${file}`);
    },
  };
  for (const file of await reader.files())
    for await (const document of reader.read(file, context)) documents.push(document);
  return { documents, dropped, counts };
}
