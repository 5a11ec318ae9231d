import { writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { device } from "../../lib/core/device.ts";
import { corpusOf } from "../../lib/data/corpus.ts";
import { loadModel } from "../../lib/models/load.ts";
import { halves, openHeldOut } from "../../lib/study/held_out.ts";
import { settingsOf } from "../../lib/study/settings.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { testDevice } from "../support/test_device.ts";
import { tinyStudy } from "../support/tiny_study.ts";

const contents = (documents: number[][]): Promise<number[][][]> =>
  Promise.all(
    halves(corpusOf(documents)).map(async (half) => {
      const all: number[][] = [];
      for (let i = 0; i < half.documents; i++) {
        expect(await half.document(i)).toHaveLength(half.length(i));
        all.push([...(await half.document(i))]);
      }
      return all;
    }),
  );

test("a held-out text is halved by documents; a single one in its middle", async () => {
  expect(await contents([[1], [2, 2], [3], [4], [5]])).toEqual([
    [[1], [3], [5]],
    [[2, 2], [4]],
  ]);
  expect(await contents([[1, 2, 3, 4, 5]])).toEqual([[[1, 2, 3]], [[4, 5]]]);
  const [, second] = halves(corpusOf([[1, 2, 3, 4, 5]]));
  expect([...(await second!.document(0, 1, 2))]).toEqual([5]);
});

test("choosing and reporting don't share a text", async () => {
  const study = tinyStudy();
  const dev = await device(testDevice);
  const model = await loadModel(study.model, { device: dev });
  const tokenizer = await loadTokenizer(study.model);
  const measure = async (change: object) =>
    (await openHeldOut(settingsOf({ ...study, ...change }), model, tokenizer)).measure(model);
  const write = (name: string, texts: string[]): string => {
    const file = path.join(path.dirname(study.out), name);
    writeFileSync(file, texts.map((text) => `${JSON.stringify({ text })}\n`).join(""));
    return file;
  };
  const [a, b] = ["const let return", "import export class"];
  const both = await measure({ newHeldOut: write("both.jsonl", [a!, b!]) });
  const apart = await measure({ newHeldOut: write("a.jsonl", [a!]), choiceHeldOut: write("b.jsonl", [b!]) });
  expect(both.new.loss).not.toBe(both.choice.loss);
  expect(both).toEqual(apart);
  model.dispose();
  dev.close();
});
