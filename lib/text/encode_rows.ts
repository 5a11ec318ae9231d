import { ConfigError, FormatError } from "../core/errors.ts";
import { type Row, readRows } from "../io/rows.ts";
import { chunked } from "./chunked.ts";

/** Rows that are encoded at once, off the main thread. */
const kRows = 256;

/** A row that isn't used, or a part of one; `line` counts from 1. */
export interface Dropped {
  readonly line: number;
  readonly reason: string;
}

/** Throws for what is no row of the kind that is read. */
export type Refuse = (what: string) => never;

/** What becomes of a row: something to learn from, whole or cut, or a reason not to. */
export type Encoded<T> = { readonly kept: T; readonly truncated: boolean } | { readonly reason: string };

/**
 * What `encode` makes of rows, of a list or a file (see readRows), in their order; `truncated` has the line of each that was cut.
 * @throws FormatError, with the line, where `encode` refuses a row, or the chat template its messages.
 */
export async function encodeRows<T>(
  data: string | readonly unknown[],
  encode: (row: unknown, refuse: Refuse) => Promise<readonly Encoded<T>[]>,
): Promise<{ kept: T[]; truncated: number[]; dropped: Dropped[] }> {
  const file = typeof data === "string" ? data : "";
  const kept: T[] = [];
  const truncated: number[] = [];
  const dropped: Dropped[] = [];
  const rows = typeof data === "string" ? readRows(data) : numbered(data);
  for await (const chunk of chunked(rows, kRows)) {
    const encoded = chunk.map(({ value, line }) => {
      const refuse = (what: string): never => {
        throw new FormatError(`${file === "" ? "row " : `${file}:`}${line}: ${what}`, file, line);
      };
      return encode(value, refuse).catch((error: unknown) => {
        throw error instanceof ConfigError && error.key === "messages" ? refuse(error.message) : error;
      });
    });
    for (const [i, outcomes] of (await Promise.all(encoded)).entries()) {
      const { line } = chunk[i]!;
      for (const outcome of outcomes) {
        if ("reason" in outcome) dropped.push({ line, reason: outcome.reason });
        else {
          kept.push(outcome.kept);
          if (outcome.truncated) truncated.push(line);
        }
      }
    }
  }
  return { kept, truncated, dropped };
}

function* numbered(rows: readonly unknown[]): Generator<Row> {
  for (const [i, value] of rows.entries()) yield { value, line: i + 1 };
}
