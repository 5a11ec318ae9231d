import path from "node:path";
import type { Document } from "./document.ts";
import { documentLine } from "./document_line.ts";
import { type Output, type TaskContext, taskName } from "./step.ts";

/**
 * Keeps the dropped documents of a task: `<dir>/<step>/<reason>/<task>.jsonl.gz`, as the step got them, with the reason in
 * `metadata.filter_reason`, as datatrove has it.
 */
export class Rejected {
  private readonly outputs = new Map<string, Promise<Output>>();

  constructor(
    private readonly dir: string,
    private readonly context: Pick<TaskContext, "task" | "create">,
  ) {}

  async keep(step: string, reason: string, document: Document): Promise<void> {
    const file = path.join(this.dir, plain(step), plain(reason), `${taskName(this.context)}.jsonl.gz`);
    let output = this.outputs.get(file);
    if (!output) {
      output = this.context.create(file, "gzip");
      this.outputs.set(file, output);
    }
    const metadata = { ...document.metadata, filter_reason: reason };
    await (await output).write(documentLine({ ...document, metadata }));
  }
}

/** A reason may be any text; a folder's name may not. */
const plain = (name: string): string => name.replace(/[^\p{L}\p{N}._#-]+/gu, "_").slice(0, 100) || "_";
