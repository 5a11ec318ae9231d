import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { ConfigError, FormatError } from "../../lib/core/errors.ts";
import { type Row, readRows } from "../../lib/io/rows.ts";
import { tempDir } from "../support/temp_dir.ts";
import { tinyParquet, tinyRows } from "../support/tiny_parquet.ts";

function fileWith(content: string | Uint8Array, name: string): string {
  const file = path.join(tempDir(), name);
  writeFileSync(file, content);
  return file;
}

async function all(rows: AsyncIterable<Row>): Promise<Row[]> {
  const got: Row[] = [];
  for await (const row of rows) got.push(row);
  return got;
}

const refusal = async (file: string): Promise<Error> =>
  all(readRows(file)).then(
    () => expect.fail("it was read"),
    (error: Error) => error,
  );

test("Parquet gives what JSON lines would: conversations, numbers, nulls left out, across row groups", async () => {
  const file = fileWith(tinyParquet(), "rows.parquet");
  expect(await all(readRows(file))).toStrictEqual(tinyRows.map((value, i) => ({ value, line: i + 1 })));
});

test("JSONL is read as ever; a name in .gz says that it is gzipped", async () => {
  const jsonl = tinyRows.filter((_, i) => i !== 1).map((row) => JSON.stringify(row));
  const file = fileWith(jsonl.join("\n\n"), "rows.jsonl");
  expect(await all(readRows(file))).toEqual([
    { value: tinyRows[0], line: 1 },
    { value: tinyRows[2], line: 3 },
  ]);
  expect((await refusal(fileWith("{}", "rows.jsonl.gz"))).message).toContain("the gzip data is damaged");
});

test("leaving early is no error", async () => {
  for await (const { line } of readRows(fileWith(tinyParquet(), "a.parquet"))) if (line === 1) break;
});

test.each(["rows.json", "rows.csv", "rows", "parquet", "rows.parquet.gz"])("%s is refused", async (name) => {
  const file = fileWith("{}", name);
  const error = await refusal(file);
  expect(error).toBeInstanceOf(ConfigError);
  expect(error.message).toBe(
    `readRows: ${file} ends in none of .jsonl, .jsonl.gz, .jsonl.zst, .parquet, which are read`,
  );
});

test("a Parquet file that is cut off, altered, empty, missing or a folder is named", async () => {
  const whole = tinyParquet();
  const broken = (bytes: Uint8Array) => fileWith(bytes, "broken.parquet");
  const wrong = Buffer.from(whole);
  wrong.fill(0xff, 4, 300);
  const dir = path.join(tempDir(), "folder.parquet");
  mkdirSync(dir);
  for (const [file, message] of [
    [broken(whole.subarray(0, whole.length - 9)), "no Parquet file, or damaged ("],
    [broken(whole.subarray(0, 3)), "no Parquet file, or damaged ("],
    [broken(Buffer.from('{"a":1}\n'.repeat(9))), "no Parquet file, or damaged ("],
    [broken(new Uint8Array()), "no Parquet file, or damaged ("],
    [broken(wrong), "rows 1 to 2 can't be read ("],
    ["/nowhere.parquet", "there is no such file or folder"],
    [dir, "it is a folder, a file was needed"],
  ] as const) {
    const error = await refusal(file);
    expect(error).toBeInstanceOf(FormatError);
    expect(error).toMatchObject({ file });
    expect(error.message).toContain(`${file}: ${message}`);
  }
});

test("text that is not UTF-8 is refused, not repaired", async () => {
  const bytes = tinyParquet();
  const at = bytes.indexOf("Yes.");
  bytes[at] = 0xff;
  const error = await refusal(fileWith(bytes, "rows.parquet"));
  expect(error.message).toContain("rows 1 to 2 can't be read (The encoded data was not valid");
});
