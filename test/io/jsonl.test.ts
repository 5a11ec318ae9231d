import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { FormatError } from "../../lib/core/errors.ts";
import { type JsonLine, openJsonlWriter, readJsonl } from "../../lib/io/jsonl.ts";
import { tempDir } from "../support/temp_dir.ts";

function fileWith(content: string | Uint8Array, name = "a.jsonl"): string {
  const file = path.join(tempDir(), name);
  writeFileSync(file, content);
  return file;
}

async function all(lines: AsyncIterable<JsonLine>): Promise<JsonLine[]> {
  const got: JsonLine[] = [];
  for await (const line of lines) got.push(line);
  return got;
}

test("values with their line numbers; empty lines count but give nothing", async () => {
  const file = fileWith('\ufeff{"a":1}\r\n\n  \n[2]\n"x\u2028y"\nnull');
  expect(await all(readJsonl(file))).toEqual([
    { value: { a: 1 }, line: 1 },
    { value: [2], line: 4 },
    { value: "x\u2028y", line: 5 },
    { value: null, line: 6 },
  ]);
  expect(await all(readJsonl(fileWith("")))).toEqual([]);
});

test("lines across chunk borders, plain and gzipped in several members", async () => {
  const lines = Array.from({ length: 40 }, (_, i) => JSON.stringify({ i, text: "é😀".repeat(i * 3000) }));
  const expected = lines.map((line, i) => ({ value: JSON.parse(line), line: i + 1 }));
  expect(await all(readJsonl(fileWith(lines.join("\n"))))).toEqual(expected);
  const members = [lines.slice(0, 20), lines.slice(20)].map((part) => gzipSync(`${part.join("\n")}\n`));
  expect(await all(readJsonl(fileWith(Buffer.concat(members), "a.jsonl.gz")))).toEqual(expected);
});

test("a broken line is named", async () => {
  const file = fileWith('{"a":1}\n{"a":\n');
  const read = readJsonl(file);
  await read.next();
  const error = await read.next().catch((e) => e);
  expect(error).toBeInstanceOf(FormatError);
  expect(error).toMatchObject({ file, line: 2, message: expect.stringContaining(`${file}:2: not JSON (`) });
  const bytes = fileWith(Buffer.from([0x31, 0x0a, 0x22, 0xff, 0x22]));
  await expect(all(readJsonl(bytes))).rejects.toThrow(`${bytes}:2: not UTF-8.`);
});

test("gzip data that is cut off or no gzip at all", async () => {
  const whole = gzipSync('{"a":1}\n'.repeat(1000));
  for (const bytes of [whole.subarray(0, whole.length - 12), Buffer.from('{"a":1}\n')]) {
    const error = await all(readJsonl(fileWith(bytes, "a.jsonl.gz"))).catch((e) => e);
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toContain("the gzip data is damaged");
  }
  await expect(readJsonl("/nowhere.jsonl.gz").next()).rejects.toThrow(
    "/nowhere.jsonl.gz: there is no such file or folder",
  );
});

test("leaving early closes the file", async () => {
  for await (const { line } of readJsonl(fileWith(gzipSync("1\n".repeat(1e6)), "a.jsonl.gz")))
    if (line === 3) break;
});

test("the writer appends whole lines in order, after what is there", async () => {
  const file = path.join(tempDir(), "run", "metrics.jsonl");
  for (const start of [0, 2]) {
    const writer = openJsonlWriter(file);
    for (const step of [start, start + 1]) writer.append({ step, loss: Number.NaN });
    writer.close();
  }
  expect(readFileSync(file, "utf8")).toBe(
    [0, 1, 2, 3].map((step) => `{"step":${step},"loss":null}\n`).join(""),
  );
  appendFileSync(file, "{");
  await expect(all(readJsonl(file))).rejects.toThrow(":5: not JSON");
});
