import { ConfigError } from "../../core/errors.ts";
import type { Document } from "../document.ts";
import type { Step, TaskContext } from "../step.ts";

/** What becomes of a document: it stays, with this text; or it is dropped for a reason. */
export type Judgement = { readonly text: string } | { readonly reason: string };

/**
 * A step that compares each document with all before it. Tasks share nothing, so there may be one only; `begin` makes
 * the memory of a run, and judges with it.
 */
export function globalStep(
  step: string,
  options: Readonly<Record<string, unknown>>,
  begin: (context: TaskContext) => (document: Document) => Judgement,
): Step {
  return {
    description: { step, options },
    async *run(documents, context) {
      if (context.tasks !== 1)
        throw new ConfigError(
          `${step}: the pipeline has ${context.tasks} tasks, 1 was needed: a task doesn't see the documents of the others. Run it as a pipeline of its own with tasks: 1`,
          "tasks",
        );
      const judge = begin(context);
      for await (const document of documents) {
        const judgement = judge(document);
        if ("reason" in judgement) await context.drop(step, judgement.reason, document);
        else yield judgement.text === document.text ? document : { ...document, text: judgement.text };
      }
    },
  };
}
