import type { Document, Verdict } from "../../lib/data/document.ts";
import type { Filter } from "../../lib/data/step.ts";

export const documentOf = (text: string, metadata: Document["metadata"] = {}): Document => ({
  id: "d",
  text,
  metadata,
});

/** Verdict of a filter that doesn't wait for anything. */
export function verdictOf(filter: Filter, text: string, metadata: Document["metadata"] = {}): Verdict {
  const verdict = filter.apply(documentOf(text, metadata));
  if (verdict instanceof Promise) throw new Error(`${filter.description.step} waits`);
  return verdict;
}

/** Why a filter drops a text, or "kept". */
export function reasonOf(filter: Filter, text: string, metadata: Document["metadata"] = {}): string {
  const verdict = verdictOf(filter, text, metadata);
  return verdict.keep ? "kept" : verdict.reason;
}

/** Words that are all different, of `length` letters: for texts in which nothing repeats. */
export function distinctWords(count: number, length = 5): string[] {
  const letter = (n: number): string => String.fromCharCode(97 + (n % 26));
  return Array.from({ length: count }, (_, i) =>
    Array.from({ length }, (_, at) => letter(at < 4 ? Math.floor(i / 26 ** at) + at : at)).join(""),
  );
}
