import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { trainTokenizer } from "../../lib/text/train_tokenizer.ts";
import { tempDir } from "../support/temp_dir.ts";
import { someTexts } from "../support/texts.ts";

const odd = ["naïve café ☕ 日本語", "tab\tand\r\nline", "😀😀", "  two  spaces "];

test("a trained tokenizer spells every text, and merges what is frequent", async () => {
  const dir = path.join(tempDir(), "tokenizer");
  async function* texts() {
    yield* someTexts(50);
  }
  await trainTokenizer(texts(), dir, { vocabSize: 300, specialTokens: ["<|end|>", "<|pad|>"] });
  const tokenizer = await loadTokenizer(dir);
  expect(tokenizer.vocabSize).toBe(300);
  expect(tokenizer.eosTokenId).toBe(0);
  for (const text of [...odd, ...someTexts(3)]) {
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    expect(tokenizer.decode(ids)).toBe(text);
  }
  const [text] = someTexts(1);
  expect(tokenizer.encode(text!).length).toBeLessThan(text!.length / 2);
});

test("a smaller vocabulary is the beginning of a larger one", async () => {
  const [small, large] = await Promise.all(
    [280, 310].map(async (vocabSize) => {
      const dir = path.join(tempDir(), "tokenizer");
      await trainTokenizer(someTexts(50), dir, { vocabSize });
      return JSON.parse(readFileSync(path.join(dir, "tokenizer.json"), "utf8")).model.merges;
    }),
  );
  expect(large.slice(0, small.length)).toEqual(small);
});

test("sizes that can't be had are refused", async () => {
  const train = (vocabSize: number) => trainTokenizer(["ab ab ab"], path.join(tempDir(), "t"), { vocabSize });
  await expect(train(256)).rejects.toThrow(/from 257 to 30000/);
  await expect(train(30_001)).rejects.toThrow(/vocabSize is 30001/);
  await expect(train(5000)).rejects.toThrow(/have \d+ merges, 4743 were needed/);
});
