import { writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { ConfigError, FormatError } from "../../lib/core/errors.ts";
import { type Corpus, encodeDocuments, tokenizeDocuments } from "../../lib/data/corpus.ts";
import { openCorpus } from "../../lib/data/open_corpus.ts";
import { readTexts } from "../../lib/data/text_files.ts";
import type { TokenFile } from "../../lib/data/token_file.ts";
import { writeTokenFile } from "../../lib/data/write_token_file.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { chatTokenizer, tokenizerFolder } from "../support/golden_tokenizer.ts";
import { tempDir } from "../support/temp_dir.ts";

function fileWith(name: string, content: string): string {
  const file = path.join(tempDir(), name);
  writeFileSync(file, name.endsWith(".gz") ? gzipSync(content) : content);
  return file;
}

async function texts(file: string): Promise<string[]> {
  const read: string[] = [];
  for await (const text of readTexts(file)) read.push(text);
  return read;
}

const all = async (corpus: Corpus): Promise<number[][]> => {
  const documents: number[][] = [];
  for (let i = 0; i < corpus.documents; i++) documents.push(Array.from(await corpus.document(i)));
  return documents;
};

test.each(["a.jsonl", "a.jsonl.gz"])("%s: the text of each line", async (name) => {
  const file = fileWith(name, '{"text":"one\\ntwo","id":1}\n\n{"text":""}\n');
  expect(await texts(file)).toEqual(["one\ntwo", ""]);
});

test.each(["a.txt", "a.txt.gz"])("%s: documents between separator lines", async (name) => {
  const file = fileWith(name, "one\n\ntwo\n<|endoftext|>\n\n <|endoftext|> \nthree <|endoftext|>\nfour\n");
  expect(await texts(file)).toEqual(["one\n\ntwo", "three <|endoftext|>\nfour"]);
  expect(await texts(fileWith(name, "just\n\none\n"))).toEqual(["just\n\none"]);
  expect(await texts(fileWith(name, ""))).toEqual([]);
});

test.each([
  ["{", /a.jsonl:2: not JSON/],
  ['{"body":"x","id":1}', /a.jsonl:2: no "text" among body, id, a field "text" with a string was needed/],
  ['{"text":7}', /a.jsonl:2: "text" is 7/],
  ["[1]", /a.jsonl:2: no JSON object/],
])("a line %s is refused", async (line, message) => {
  const error = await texts(fileWith("a.jsonl", `{"text":"x"}\n${line}\n`)).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(FormatError);
  expect((error as FormatError).line).toBe(2);
  expect((error as Error).message).toMatch(message);
});

test("other kinds of file are refused", async () => {
  await expect(texts("a.parquet")).rejects.toThrow(ConfigError);
});

test("documents begin as the tokenizer has it and end with one eos", async () => {
  const tok = await chatTokenizer();
  const given = ["Hello", "", "Bye<|eot_id|>"];
  const documents = await all(await tokenizeDocuments(tok, given));
  expect(documents).toEqual([
    [...tok.encode("Hello"), tok.eosTokenId],
    [...tok.encode(""), tok.eosTokenId],
    tok.encode("Bye<|eot_id|>"),
  ]);
  const plain = await loadTokenizer(tokenizerFolder("llama3_style_bpe_1024"));
  expect(plain.eosTokenId).toBeUndefined();
  expect(await all(await tokenizeDocuments(plain, given))).toEqual(given.map((text) => plain.encode(text)));
});

test("more texts than are encoded at once; a token file and a text file give the same corpus", async () => {
  const tok = await chatTokenizer();
  const many = Array.from({ length: 600 }, (_, i) => `Text ${i}`);
  const text = fileWith("a.jsonl", many.map((text) => JSON.stringify({ text })).join("\n"));
  const file = path.join(tempDir(), "b.ds");
  await writeTokenFile(file, encodeDocuments(tok, readTexts(text)), { tokenizer: tok });
  const fromText = await openCorpus(text, tok);
  const fromTokens = await openCorpus(file, tok);
  const documents = await all(fromText);
  expect(documents.length).toBe(600);
  expect(documents[599]).toEqual([...tok.encode("Text 599"), tok.eosTokenId]);
  expect(await all(fromTokens)).toEqual(documents);
  expect(Array.from(await fromText.document(3, 1, 3))).toEqual(
    Array.from(await fromTokens.document(3, 1, 3)),
  );
  await (fromTokens as TokenFile).close();
});
