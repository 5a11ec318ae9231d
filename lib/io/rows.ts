import { ConfigError } from "../core/errors.ts";
import { readJsonl } from "./jsonl.ts";
import { readParquet } from "./parquet.ts";

/** One row of a file; `line` counts from 1, in JSONL with empty lines included. */
export interface Row {
  readonly value: unknown;
  readonly line: number;
}

/**
 * The rows of a `.jsonl` file (or `.jsonl.gz`, `.jsonl.zst`), or of a `.parquet` file (see readParquet).
 * @throws FormatError, with the line where there is one, for what can't be read; ConfigError for other names.
 */
export async function* readRows(file: string): AsyncGenerator<Row, void, undefined> {
  if (/\.jsonl(\.gz|\.zst)?$/.test(file)) yield* readJsonl(file);
  else if (file.endsWith(".parquet")) {
    let line = 0;
    for await (const value of readParquet(file)) yield { value, line: ++line };
  } else {
    throw new ConfigError(
      `readRows: ${file} ends in none of .jsonl, .jsonl.gz, .jsonl.zst, .parquet, which are read`,
      "data",
    );
  }
}
