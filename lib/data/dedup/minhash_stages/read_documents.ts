import { FormatError } from "../../../core/errors.ts";
import { isObject } from "../../../io/json.ts";
import { readLines } from "../../../io/lines.ts";

/** A line of a JSONL file with a text. */
export interface DocumentLine {
  /** From 0, without counting empty lines and rows with an empty text, which datatrove's reader passes over too. */
  readonly number: number;
  readonly raw: string;
  readonly row: Readonly<Record<string, unknown>> & { readonly text: string };
  /** From 1, for messages. */
  readonly line: number;
}

/** The documents of a .jsonl or .jsonl.gz file, one at a time. @throws FormatError, with the line. */
export async function* readDocuments(file: string): AsyncGenerator<DocumentLine, void, undefined> {
  let number = 0;
  for await (const { text: raw, line } of readLines(file)) {
    if (raw.trim() === "") continue;
    let row: unknown;
    try {
      row = JSON.parse(raw);
    } catch (error) {
      throw new FormatError(`${file}:${line}: not JSON (${(error as Error).message}).`, file, line);
    }
    if (!isObject(row) || typeof row.text !== "string")
      throw new FormatError(`${file}:${line}: an object with a string "text" was needed.`, file, line);
    if (row.text === "") continue;
    yield { number: number++, raw, row: row as DocumentLine["row"], line };
  }
}

/** A number of a document, from its metadata or else the row itself. @throws FormatError if there is none. */
export function scoreOf({ row, line }: DocumentLine, field: string, file: string): number {
  const metadata = isObject(row.metadata) ? row.metadata : {};
  const score = metadata[field] ?? row[field];
  if (typeof score === "number" && Number.isFinite(score)) return score;
  throw new FormatError(
    `dedup.minhash: ${file}:${line}: ${field} is ${JSON.stringify(score)}, a number was needed to keep the best. Score all documents, or keep "one"`,
    file,
    line,
  );
}
