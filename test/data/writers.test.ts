import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { device } from "../../lib/core/device.ts";
import type { Document } from "../../lib/data/document.ts";
import { mix } from "../../lib/data/mix.ts";
import { openCorpus } from "../../lib/data/open_corpus.ts";
import { pipeline } from "../../lib/data/pipeline.ts";
import * as read from "../../lib/data/readers/index.ts";
import type { Reader } from "../../lib/data/step.ts";
import * as write from "../../lib/data/writers/index.ts";
import { loadModel } from "../../lib/models/load.ts";
import { withEos } from "../../lib/text/encode_pair.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { pretrain } from "../../lib/train/pretrain.ts";
import { tinyModel } from "../support/cli.ts";
import { gzRows, someDocuments } from "../support/documents.ts";
import { tempDir } from "../support/temp_dir.ts";
import { tinyOptimizer } from "../support/tiny_run.ts";

const documents = someDocuments(0, 300);

/** Lists of documents as the files of a pipeline. */
const given = (...lists: (readonly Document[])[]): Reader => ({
  description: { step: "given", options: {} },
  files: async () => lists.map(() => import.meta.filename),
  async *read(_, { task }) {
    yield* lists[task]!;
  },
});

async function readBack(reader: Reader): Promise<Document[]> {
  const dir = tempDir();
  await pipeline([reader, write.jsonl(dir)]).run({ tasks: 1 });
  return gzRows(dir)["00000.jsonl.gz"] ?? [];
}

test.each(["none", "gzip", "zstd"] as const)(
  "JSONL with compression %s reads back as the same documents",
  async (compression) => {
    const dir = tempDir();
    await pipeline([given(documents), write.jsonl(dir, { compression })]).run();
    const suffix = { none: "", gzip: ".gz", zstd: ".zst" }[compression];
    expect(readdirSync(dir)).toEqual([`00000.jsonl${suffix}`]);
    expect(await readBack(read.jsonl(dir))).toEqual(
      documents.map(({ text, id, metadata }) => ({ text, id, metadata })),
    );
  },
);

test("files by language, none over its bytes, in datatrove's names", async () => {
  const dir = tempDir();
  await pipeline([
    given(documents),
    write.jsonl(dir, { compression: "none", splitBy: "language", maxBytesPerFile: 5000 }),
  ]).run();
  for (const language of ["en", "fr"]) {
    const names = readdirSync(path.join(dir, language)).sort();
    expect(names.length).toBeGreaterThan(2);
    expect(names).toEqual(names.map((_, i) => `00${i}_00000.jsonl`));
    const texts = names.map((name) => readFileSync(path.join(dir, language, name), "utf8"));
    for (const text of texts) expect(Buffer.byteLength(text)).toBeLessThanOrEqual(5000);
    const ids = texts
      .flatMap((text) => text.trim().split("\n"))
      .map((line) => (JSON.parse(line) as Document).id);
    expect(ids).toEqual(
      documents.filter(({ metadata }) => metadata.language === language).map(({ id }) => id),
    );
  }
});

test("a document without the word to split by fails its task", async () => {
  const without = { id: "x", text: "a", metadata: { language: "../up" } };
  await expect(
    pipeline([given([without]), write.jsonl(tempDir(), { splitBy: "language" })]).run(),
  ).rejects.toThrow(
    "task 0, write.jsonl (document x, file " +
      import.meta.filename +
      '): write.jsonl: the document has language "../up"',
  );
});

test("Parquet in several row groups reads back as the same documents", async () => {
  const dir = tempDir();
  const odd = [{ id: "", text: "\ufeff\u0000 😀", metadata: { deep: [{ a: null }], big: 2n ** 60n } }];
  await pipeline([given([...documents, ...odd]), write.parquet(dir, { rowGroupSize: 70 })]).run();
  const back = await readBack(read.parquet(dir));
  expect(back.slice(0, -1)).toEqual(documents.map(({ text, id, metadata }) => ({ text, id, metadata })));
  expect(back.at(-1)).toEqual({ ...odd[0], metadata: { deep: [{ a: null }], big: String(2n ** 60n) } });
  const { parquetMetadataAsync, asyncBufferFromFile } = await import("hyparquet");
  const { row_groups } = await parquetMetadataAsync(
    await asyncBufferFromFile(path.join(dir, "00000.parquet")),
  );
  expect(row_groups.map(({ num_rows }) => Number(num_rows))).toEqual([70, 70, 70, 70, 21]);
});

test("a task without documents writes empty files", async () => {
  const dir = tempDir();
  const tokenizer = tinyModel("llama");
  const steps = [
    write.jsonl(path.join(dir, "j")),
    write.parquet(path.join(dir, "p")),
    write.tokens(path.join(dir, "t"), { tokenizer }),
  ];
  await pipeline([given([]), ...steps]).run();
  expect(await readBack(read.jsonl(path.join(dir, "j")))).toEqual([]);
  expect(await readBack(read.parquet(path.join(dir, "p")))).toEqual([]);
  const corpus = await openCorpus(path.join(dir, "t"), await loadTokenizer(tokenizer));
  expect(corpus.documents).toBe(0);
  await corpus.close?.();
});

test("tokens of each document in order, in datatrove's layout, a file for each task", async () => {
  const dir = tempDir();
  const tokenizer = await loadTokenizer(tinyModel("llama"));
  const parts = [documents.slice(0, 290), documents.slice(290)] as const;
  const { counts } = await pipeline([given(...parts), write.tokens(dir, { tokenizer: tokenizer.dir })]).run();
  const wanted = documents.map(({ text }) => withEos(tokenizer, tokenizer.encode(text)));
  const total = wanted.reduce((sum, ids) => sum + ids.length, 0);
  expect(counts).toEqual({ "write.tokens/tokens": total });

  const ids = readFileSync(path.join(dir, "00000.ds"));
  const first = wanted.slice(0, 290);
  expect(Array.from(new Uint16Array(new Uint8Array(ids).buffer))).toEqual(first.flat());
  const ends = new BigUint64Array(new Uint8Array(readFileSync(path.join(dir, "00000.ds.index"))).buffer);
  let end = 0;
  expect(Array.from(ends, Number)).toEqual(first.map(({ length }) => (end += length)));
  expect(readFileSync(path.join(dir, "00000.ds.metadata"), "utf8")).toBe(`model|2\n${end}\n`);

  const corpus = await openCorpus(dir, tokenizer);
  const found = await Promise.all(
    Array.from({ length: corpus.documents }, async (_, i) => Array.from(await corpus.document(i))),
  );
  expect(found).toEqual(wanted);
  await corpus.close?.();
});

test("pretrain and mix take a folder of token files, and learn from it what they learn from the texts", async () => {
  const dir = tempDir();
  const [texts, shards] = [path.join(dir, "texts"), path.join(dir, "shards")];
  const model = tinyModel("llama");
  await pipeline([given(documents), write.jsonl(texts), write.tokens(shards, { tokenizer: model })]).run();
  const dev = await device("cpu", { threads: 1 });
  const losses = async (data: string | ReturnType<typeof mix>): Promise<number[]> => {
    const seen: number[] = [];
    const made = await loadModel(model, { device: dev });
    for await (const { loss } of pretrain({
      model: made,
      data,
      optimizer: tinyOptimizer(3e-3),
      steps: 8,
      batchTokens: 64,
      seed: 1,
    }))
      seen.push(loss);
    return seen;
  };
  const fromShards = await losses(shards);
  expect(fromShards.at(-1)).toBeLessThan(fromShards[0]! - 0.1);
  expect(await losses(path.join(texts, "00000.jsonl.gz"))).toEqual(fromShards);
  expect(await losses(mix([{ name: "web", data: shards, weight: 1 }]))).toHaveLength(8);
  await expect(losses(dir + "/texts")).rejects.toThrow("holds no token file (.ds), one at least was needed");
  dev.close();
});
