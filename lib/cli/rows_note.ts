import type { Dropped } from "../index.ts";
import { note } from "./output.ts";

/** Tells of rows that were cut or left out; `kept` are the `what` that remain. */
export function noteRows(
  what: string,
  kept: readonly unknown[],
  { truncated, dropped }: { truncated: readonly number[]; dropped: readonly Dropped[] },
  maxLength: number,
): void {
  const [first] = dropped;
  const { length: cut, 0: firstCut } = truncated;
  if (cut > 0)
    note(`${cut} of ${kept.length} ${what} are cut to ${maxLength} tokens, the first in line ${firstCut}`);
  if (first) note(`${dropped.length} ${what} are left out, the first in line ${first.line}: ${first.reason}`);
}
