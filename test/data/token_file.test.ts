import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ConfigError, FormatError } from "../../lib/core/errors.ts";
import { openCorpus } from "../../lib/data/open_corpus.ts";
import { openTokenFile } from "../../lib/data/token_file.ts";
import { writeTokenFile } from "../../lib/data/write_token_file.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { trainTokenizer } from "../../lib/text/train_tokenizer.ts";
import { goldenTokenizers } from "../support/golden_tokenizer.ts";
import { tempDir } from "../support/temp_dir.ts";
import { someTexts } from "../support/texts.ts";

const hex = (file: string) => readFileSync(file).toString("hex");

async function written(documents: number[][], vocabSize = 100): Promise<string> {
  const file = path.join(tempDir(), "a.ds");
  await writeTokenFile(file, documents, { vocabSize });
  return file;
}

async function reading(file: string) {
  const opened = await openTokenFile(file);
  const documents: number[][] = [];
  for (let i = 0; i < opened.documents; i++) {
    const ids = Array.from(await opened.document(i));
    expect(opened.length(i)).toBe(ids.length);
    documents.push(ids);
  }
  await opened.close();
  return { documents, info: opened.info };
}

test("datatrove's bytes", async () => {
  const file = await written([[1, 2, 3], [4]], 2 ** 16);
  expect(hex(file)).toBe("0100020003000400");
  expect(hex(`${file}.index`)).toBe("03000000000000000400000000000000");
  expect(readFileSync(`${file}.metadata`, "utf8")).toBe("Unknown Tokenizer|2\n4\n");
  expect(JSON.parse(readFileSync(`${file}.json`, "utf8"))).toEqual({
    documents: 2,
    tokens: 4,
    tokenBytes: 2,
    vocabSize: 65536,
  });
  const wide = await written([[1, 65536]], 2 ** 16 + 1);
  expect(hex(wide)).toBe("0100000000000100");
});

test("what is written is read, with or without .json", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.nat(69_999), { maxLength: 9 }), { maxLength: 7 }),
      fc.boolean(),
      async (documents, described) => {
        const file = await written(documents, 70_000);
        if (!described) rmSync(`${file}.json`);
        expect((await reading(file)).documents).toEqual(documents);
      },
    ),
    { numRuns: 40 },
  ));

test("parts of documents, and documents larger than a chunk", async () => {
  const long = Array.from({ length: 1_300_000 }, (_, t) => t % 50_000);
  const file = path.join(tempDir(), "a.ds");
  await writeTokenFile(file, [[7], long, [8, 9]], { vocabSize: 50_000 });
  const opened = await openTokenFile(file);
  expect(opened.info.tokens).toBe(1_300_003);
  expect(Array.from(await opened.document(1, 1_234_567, 1_234_570))).toEqual([34567, 34568, 34569]);
  expect(Array.from(await opened.document(2))).toEqual([8, 9]);
  await opened.close();
});

test("the tokenizer's name and hash", async () => {
  const dir = path.join(goldenTokenizers, "llama3_style_bpe_1024");
  const file = path.join(tempDir(), "a.ds");
  const tokenizer = await loadTokenizer(dir);
  const info = await writeTokenFile(file, [[1]], { tokenizer });
  expect(info).toMatchObject({
    vocabSize: tokenizer.vocabSize,
    tokenizer: { name: "llama3_style_bpe_1024" },
  });
  expect(info.tokenizer!.sha256).toMatch(/^[0-9a-f]{64}$/);
  expect(readFileSync(`${file}.metadata`, "utf8")).toBe("llama3_style_bpe_1024|2\n1\n");
  expect((await reading(file)).info).toEqual(info);
});

test("a writer that fails leaves what was there", async () => {
  const file = await written([[5], [6, 7]]);
  await expect(writeTokenFile(file, [[1], [2, 100]], { vocabSize: 100 })).rejects.toThrow(
    `${file}: document 1 has id 100 at 1, the vocabulary has 100.`,
  );
  async function* broken() {
    yield [1];
    throw new Error("stopped");
  }
  await expect(writeTokenFile(file, broken(), { vocabSize: 100 })).rejects.toThrow("stopped");
  expect((await reading(file)).documents).toEqual([[5], [6, 7]]);
  expect(readdirSync(path.dirname(file)).sort()).toEqual([
    "a.ds",
    "a.ds.index",
    "a.ds.json",
    "a.ds.metadata",
  ]);
  await expect(writeTokenFile(file, [[0.5]], { vocabSize: 100 })).rejects.toThrow(FormatError);
  await expect(writeTokenFile(file, [], {})).rejects.toThrow(ConfigError);
});

test.each<[string, (file: string) => void, string | RegExp]>([
  ["no index", (file) => rmSync(`${file}.index`), "a.ds.index is missing"],
  ["odd index", (file) => writeFileSync(`${file}.index`, Buffer.alloc(12)), "12 bytes, 8 for each document"],
  [
    "falling index",
    (file) => writeFileSync(`${file}.index`, Buffer.from(BigUint64Array.of(3n, 2n).buffer)),
    "document 1 ends at token 2, the one before it at 3",
  ],
  [
    "index beyond all numbers",
    (file) => writeFileSync(`${file}.index`, Buffer.alloc(16, 255)),
    "document 0 ends at token 18446744073709551615",
  ],
  [
    "index past the end",
    (file) => writeFileSync(`${file}.index`, Buffer.from(BigUint64Array.of(3n, 5n).buffer)),
    "8 bytes; its index ends at token 5, 10 bytes were needed",
  ],
  ["odd data", (file) => writeFileSync(file, Buffer.alloc(7)), "7 bytes; its index ends at token 4, 8 bytes"],
  [
    "no .json, no size that fits",
    (file) => {
      rmSync(`${file}.json`);
      writeFileSync(file, Buffer.alloc(12));
    },
    "12 bytes; its index ends at token 4, 8 or 16 bytes were needed",
  ],
  [
    ".json of another file",
    (file) => writeFileSync(`${file}.json`, '{"tokenBytes":2,"documents":3,"tokens":4}'),
    "a.ds.json: documents is 3, the index has 2",
  ],
  [".json without a size", (file) => writeFileSync(`${file}.json`, "{}"), "tokenBytes is undefined, 2 or 4"],
])("%s is refused", async (_, harm, message) => {
  const file = await written([[1, 2, 3], [4]]);
  harm(file);
  const error = await openTokenFile(file).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(FormatError);
  expect((error as Error).message).toMatch(message);
});

test("an id that the file can't have is refused when read", async () => {
  const file = await written([[1, 2, 3], [4]]);
  writeFileSync(file, Buffer.from(Uint16Array.of(1, 2, 3, 100).buffer));
  await expect(reading(file)).rejects.toThrow("document 1 has id 100 at 0, the vocabulary has 100");
});

test("a token file of another tokenizer is refused where texts are trained on", async () => {
  const [one, other] = ["one", "other"].map((name) => path.join(tempDir(), name));
  await trainTokenizer(someTexts(30), one!, { vocabSize: 270 });
  await trainTokenizer(someTexts(30), other!, { vocabSize: 280 });
  const [mine, theirs] = [await loadTokenizer(one!), await loadTokenizer(other!)];
  const file = path.join(tempDir(), "a.ds");
  await writeTokenFile(file, [mine.encode("the fox")], { tokenizer: mine });
  await (await openCorpus(file, mine)).close?.();
  await expect(openCorpus(file, theirs)).rejects.toThrow(
    /made with the tokenizer one, whose tokenizer\.json is not that of/,
  );
  await expect(openCorpus(path.dirname(file), theirs)).rejects.toThrow(/made with the tokenizer one/);
});
