import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { compress, init } from "@bokuweb/zstd-wasm";
import { expect, test } from "vitest";
import type { Document } from "../../lib/data/document.ts";
import { pipeline } from "../../lib/data/pipeline.ts";
import * as read from "../../lib/data/readers/index.ts";
import type { Reader, Step } from "../../lib/data/step.ts";
import * as write from "../../lib/data/writers/index.ts";
import { gzRows, someDocuments } from "../support/documents.ts";
import { tempDir } from "../support/temp_dir.ts";
import { tinyParquet, tinyRows } from "../support/tiny_parquet.ts";

/** All documents of a reader, through a pipeline. */
async function documentsOf(reader: Reader, rejected?: string): Promise<Document[]> {
  const seen: Document[] = [];
  const look: Step = {
    description: { step: "look", options: {} },
    async *run(documents) {
      for await (const document of documents) {
        seen.push(document);
        yield document;
      }
    },
  };
  await pipeline([reader, look]).run({ tasks: 1, rejected });
  return seen;
}

const lines = (rows: readonly unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

test("JSONL plain, gzipped and as zstd of several frames is the same", async () => {
  await init();
  const dir = tempDir();
  const documents = someDocuments(0, 5000);
  const bytes = Buffer.from(lines(documents));
  const half = Math.floor(bytes.length / 2);
  writeFileSync(path.join(dir, "a.jsonl"), bytes);
  writeFileSync(
    path.join(dir, "a.jsonl.gz"),
    Buffer.concat([gzipSync(bytes.subarray(0, half)), gzipSync(bytes.subarray(half))]),
  );
  writeFileSync(
    path.join(dir, "a.jsonl.zst"),
    Buffer.concat([compress(bytes.subarray(0, half)), compress(bytes.subarray(half))]),
  );
  for (const name of ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
    expect(await documentsOf(read.jsonl(path.join(dir, name)))).toEqual(documents);
});

test.each([".gz", ".zst"])("an empty %s file fails the task", async (suffix) => {
  const file = path.join(tempDir(), `a.jsonl${suffix}`);
  writeFileSync(file, "");
  await expect(pipeline([read.jsonl(file)]).run()).rejects.toThrow(/damaged/);
});

test.each([".gz", ".zst"])("a cut-off %s file fails the task, with the line", async (suffix) => {
  await init();
  const bytes = Buffer.from(lines(someDocuments(0, 3000)));
  const whole = Buffer.from(suffix === ".gz" ? gzipSync(bytes) : compress(bytes));
  const file = path.join(tempDir(), `a.jsonl${suffix}`);
  writeFileSync(file, whole.subarray(0, whole.length - 9));
  await expect(pipeline([read.jsonl(file)]).run()).rejects.toThrow(
    /read\.jsonl \(file .*: .*a\.jsonl.*: the .* data is damaged/,
  );
});

test("bad lines and rows without a text are dropped, counted and kept", async () => {
  const dir = tempDir();
  const file = path.join(dir, "in/a.jsonl");
  mkdirSync(path.dirname(file));
  const rows = [
    '{"text":"one","id":7,"url":"u"}',
    "{bad",
    "",
    '{"words":"none"}',
    '["text"]',
    '{"text":""}',
    '{"text":"two"}',
  ];
  writeFileSync(file, Buffer.concat([Buffer.from(`${rows.join("\n")}\n`), Buffer.from([0xff, 0x7b, 10])]));
  const report = await pipeline([read.jsonl(file)]).run({ rejected: path.join(dir, "rejected") });
  expect(report).toMatchObject({ read: 7, kept: 2, dropped: { bad_line: 3, no_text: 2 } });
  const rejected = gzRows(path.join(dir, "rejected/read.jsonl"));
  expect(rejected["bad_line/00000.jsonl.gz"]!.map(({ id, text }) => [id, text])).toEqual([
    ["a.jsonl/1", "{bad"],
    ["a.jsonl/4", '["text"]'],
    ["a.jsonl/7", "\ufffd{"],
  ]);
  expect(await documentsOf(read.jsonl(file))).toEqual([
    { id: "7", text: "one", metadata: { url: "u" } },
    { id: "a.jsonl/6", text: "two", metadata: {} },
  ]);
});

test("text and id under other names; metadata as an object, as JSON text, or a field of that name", async () => {
  const file = path.join(tempDir(), "a.jsonl");
  const rows = [
    { content: "a", key: "k", text: "not this", metadata: { url: "u", n: 1 } },
    { content: "b", metadata: '{"url":"v"}', n: 2 },
    { content: "c", metadata: "words" },
  ];
  writeFileSync(file, lines(rows));
  expect(await documentsOf(read.jsonl(file, { textKey: "content", idKey: "key" }))).toEqual([
    { id: "k", text: "a", metadata: { url: "u", n: 1, text: "not this" } },
    { id: "a.jsonl/1", text: "b", metadata: { url: "v", n: 2 } },
    { id: "a.jsonl/2", text: "c", metadata: { metadata: "words" } },
  ]);
  expect(() => read.jsonl(file, { texKey: "x" } as never)).toThrow(
    'read.jsonl: unknown option "texKey", is it textKey?',
  );
});

test("Parquet rows are documents, those without a text are dropped", async () => {
  const dir = tempDir();
  const file = path.join(dir, "a.parquet");
  writeFileSync(file, tinyParquet());
  expect((await pipeline([read.parquet(file)]).run()).dropped).toEqual({ no_text: tinyRows.length });
  const rows = await pipeline([read.parquet(file), write.jsonl(path.join(dir, "o"))]).run({
    rejected: path.join(dir, "r"),
  });
  expect(rows.kept).toBe(0);
  const kept = gzRows(path.join(dir, "r"))["read.parquet/no_text/00000.jsonl.gz"]!;
  expect(kept.map(({ metadata }) => metadata.id)).toEqual([7, String(2n ** 60n), undefined]);
});

test("text files: one document, or several between separators", async () => {
  const dir = tempDir();
  writeFileSync(path.join(dir, "a.txt"), "one\n\ntwo\n");
  writeFileSync(path.join(dir, "b.txt.gz"), gzipSync("x\n<|endoftext|>\ny\n<|endoftext|>\n"));
  expect(await documentsOf(read.text(dir))).toEqual([
    { id: "a.txt/0", text: "one\n\ntwo", metadata: {} },
    { id: "b.txt.gz/0", text: "x", metadata: {} },
    { id: "b.txt.gz/1", text: "y", metadata: {} },
  ]);
});

test("an id doesn't depend on where the input lies", async () => {
  const ids: string[][] = [];
  for (const dir of [tempDir(), tempDir()]) {
    mkdirSync(path.join(dir, "2024/en"), { recursive: true });
    writeFileSync(path.join(dir, "2024/en/a.jsonl"), lines([{ text: "a" }]));
    for (const pattern of ["**/*.jsonl", "2024/*/a.jsonl", "2024/en/a.jsonl"])
      ids.push((await documentsOf(read.jsonl(path.join(dir, pattern)))).map(({ id }) => id));
  }
  expect(ids.flat()).toEqual([
    "2024/en/a.jsonl/0",
    "en/a.jsonl/0",
    "a.jsonl/0",
    "2024/en/a.jsonl/0",
    "en/a.jsonl/0",
    "a.jsonl/0",
  ]);
});
