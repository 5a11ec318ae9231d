import { open } from "node:fs/promises";
import type { AsyncBuffer, FileMetaData, SchemaTree } from "hyparquet";
import { FormatError } from "../core/errors.ts";
import { readAt } from "./read_at.ts";
import { isSystemError, systemReason } from "./system_error.ts";

/**
 * The rows of a Parquet file, one row group at a time, as the objects that a JSON line would have given: nested
 * lists and structs as arrays and objects, whole numbers as numbers (as bigint where a number can't hold them), times
 * as ISO text. Parquet has no missing fields, only null ones: they are left out. Columns may be compressed by snappy,
 * gzip, zstd or brotli. (Not LZ4: hyparquet-compressors 1.1.2 misreads its long matches, see its issue 1.)
 * @throws FormatError naming the file if there is none, or it is no Parquet file, or damaged.
 */
export async function* readParquet(file: string): AsyncGenerator<Record<string, unknown>, void, undefined> {
  const { parquetMetadataAsync, parquetReadObjects, parquetSchema } = await import("hyparquet");
  const { LZ4, LZ4_RAW, ...compressors } = (await import("hyparquet-compressors")).compressors;
  const options = { compressors, parsers: { stringFromBytes }, utf8: false };
  const handle = await named(file, "", () => open(file));
  try {
    const buffer = await named(file, "", async () => bufferOf(file, handle, (await handle.stat()).size));
    const metadata = await named(file, "no Parquet file, or damaged", async () => {
      const found = await parquetMetadataAsync(buffer, options);
      checkColumns(found, parquetSchema(found));
      return found;
    });
    let rowEnd = 0;
    for (const { num_rows } of metadata.row_groups) {
      const rowStart = rowEnd;
      rowEnd += Number(num_rows);
      const rows = await named(file, `rows ${rowStart + 1} to ${rowEnd} can't be read`, () =>
        parquetReadObjects({ file: buffer, metadata, rowStart, rowEnd, ...options }),
      );
      for (const row of rows) yield plain(row) as Record<string, unknown>;
    }
  } finally {
    await handle.close();
  }
}

type Handle = Awaited<ReturnType<typeof open>>;

function bufferOf(file: string, handle: Handle, byteLength: number): AsyncBuffer {
  const read = async (start: number, end: number): Promise<ArrayBuffer> => {
    if (!(start >= 0 && start <= end && end <= byteLength))
      throw new Error(`it names bytes ${start} to ${end}, of ${byteLength}`);
    return (await readAt(handle, file, start, end - start)).buffer as ArrayBuffer;
  };
  return {
    byteLength,
    slice(start, end = byteLength) {
      const bytes = read(start, end);
      // hyparquet reads ahead and may give up before it looks at these: then nobody waits for an error here.
      bytes.catch(() => undefined);
      return bytes;
    },
  };
}

/** It waits for the columns of the schema alone: an error in another one would end the process. */
function checkColumns({ row_groups }: FileMetaData, schema: SchemaTree): void {
  const wanted = leavesOf(schema).join("\n");
  for (const [g, { columns }] of row_groups.entries()) {
    const has = columns.map(({ meta_data }) => meta_data?.path_in_schema.join("."));
    if (has.join("\n") !== wanted) throw new Error(`row group ${g} has other columns than the schema`);
  }
}

const leavesOf = ({ children, path }: SchemaTree): string[] =>
  children.length === 0 ? [path.join(".")] : children.flatMap(leavesOf);

/** What `read` gives; its errors with the file's name, and `what` before those that the system doesn't raise. */
async function named<T>(file: string, what: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof FormatError) throw error;
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
