import path from "node:path";
import { ConfigError } from "../../core/errors.ts";
import type { Document } from "../document.ts";
import { type TaskContext, taskName } from "../step.ts";

/**
 * Where a document of a task is written: `<dir>/00000<suffix>`, below a folder for the value of `splitBy` in its metadata
 * if that is given. Throws ConfigError for a document without it.
 */
export function targetOf(
  step: string,
  document: Document,
  { dir, splitBy, suffix }: { dir: string; splitBy?: string | undefined; suffix: string },
  context: TaskContext,
): string {
  const name = `${taskName(context)}${suffix}`;
  if (splitBy === undefined) return path.join(dir, name);
  const value = document.metadata[splitBy];
  if (typeof value === "string" && /^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u.test(value))
    return path.join(dir, value, name);
  throw new ConfigError(
    `${step}: the document has ${splitBy} ${JSON.stringify(value)} in its metadata, a word that can name a folder was needed. Let a step before set it, as filter.language does, or leave splitBy out`,
    "splitBy",
  );
}
