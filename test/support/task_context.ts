import type { Document } from "../../lib/data/document.ts";
import type { Reader, TaskContext } from "../../lib/data/step.ts";

/** The context of a step that runs outside of a pipeline, as the only task; what isn't given throws when it is called. */
export function taskContext(given: Partial<TaskContext> = {}): TaskContext {
  const unwanted =
    (name: string) =>
    (...words: unknown[]): never => {
      throw new Error(`a step calls ${name} with ${String(words[0])}`);
    };
  return {
    task: 0,
    tasks: 1,
    signal: new AbortController().signal,
    drop: unwanted("drop"),
    count: unwanted("count"),
    create: unwanted("create"),
    ...given,
  };
}

/** What a reader gives, without a pipeline: documents, "reason id" of what it drops, and its counts. */
export async function readAll(reader: Reader) {
  const documents: Document[] = [];
  const dropped: string[] = [];
  const counts: Record<string, number> = {};
  const context = taskContext({
    drop(_, reason, { id }) {
      dropped.push(`${reason} ${id}`);
    },
    count(name, amount = 1) {
      counts[name] = (counts[name] ?? 0) + amount;
    },
  });
  for (const file of await reader.files())
    for await (const document of reader.read(file, context)) documents.push(document);
  return { documents, dropped, counts };
}
