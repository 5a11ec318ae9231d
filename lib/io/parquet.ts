import { FormatError } from "../core/errors.ts";
import { isSystemError, systemReason } from "./system_error.ts";

/**
 * The rows of a Parquet file, one row group at a time, as the objects that a JSON line would have given: nested lists and
 * structs as arrays and objects, whole numbers as numbers (as bigint where a number can't hold them), times as ISO
 * text. Parquet has no missing fields, only null ones: they are left out. Any codec of Parquet but LZO is read.
 * @throws FormatError naming the file if there is none, or it is no Parquet file, or damaged.
 */
export async function* readParquet(file: string): AsyncGenerator<Record<string, unknown>, void, undefined> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import("hyparquet");
  const { compressors } = await import("hyparquet-compressors");
  const parsers = { stringFromBytes };
  const buffer = await named(file, "", () => asyncBufferFromFile(file));
  const metadata = await named(file, "no Parquet file, or damaged", () =>
    parquetMetadataAsync(buffer, { parsers }),
  );
  let rowEnd = 0;
  for (const { num_rows } of metadata.row_groups) {
    const rowStart = rowEnd;
    rowEnd += Number(num_rows);
    const rows = await named(file, `rows ${rowStart + 1} to ${rowEnd} can't be read`, () =>
      parquetReadObjects({ file: buffer, metadata, rowStart, rowEnd, compressors, parsers, utf8: false }),
    );
    for (const row of rows) yield plain(row) as Record<string, unknown>;
  }
}

/** What `read` gives; its errors with the file's name, and `what` before those that the system doesn't raise. */
async function named<T>(file: string, what: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const reason = isSystemError(error) ? systemReason(error) : `${what} (${(error as Error).message}).`;
    throw new FormatError(`${file}: ${reason}`, file);
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const stringFromBytes = (bytes: Uint8Array | undefined) => bytes && decoder.decode(bytes);

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (value instanceof Date) return value.toJSON();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  const fields = Object.entries(value).filter(([, field]) => (field ?? null) !== null);
  return Object.fromEntries(fields.map(([key, field]) => [key, plain(field)]));
}
