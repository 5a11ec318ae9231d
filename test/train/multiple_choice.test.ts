import { writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { exampleModelDir } from "../../lib/models/example_model.ts";
import { loadModel } from "../../lib/models/load.ts";
import type { Model } from "../../lib/models/model.ts";
import { type Question, readQuestions } from "../../lib/text/choices.ts";
import { packBatch } from "../../lib/text/token_batch.ts";
import { loadTokenizer, type Tokenizer } from "../../lib/text/tokenizer.ts";
import { evaluateChoices } from "../../lib/train/multiple_choice.ts";
import { tempDir } from "../support/temp_dir.ts";

let dev: Device;
let model: Model;
let tokenizer: Tokenizer;
beforeAll(async () => {
  dev = await device("cpu", { threads: 2 });
  model = await loadModel(exampleModelDir, { device: dev, dtype: "f32" });
  tokenizer = await loadTokenizer(exampleModelDir);
});
afterAll(() => {
  model.dispose();
  expect(dev.stats().live).toBe(0);
  dev.close();
});

/** Summed log-probability of ids[from…], from the logits in double precision. */
async function scored(ids: number[], from: number): Promise<number> {
  const logits = model.logits(packBatch([ids]));
  const values = await logits.data();
  const V = logits.shape[1]!;
  logits.dispose();
  let sum = 0;
  for (let t = from; t < ids.length; t++) {
    const row = [...values.subarray((t - 1) * V, t * V)];
    const top = Math.max(...row);
    sum += row[ids[t]!]! - top - Math.log(row.reduce((all, x) => all + Math.exp(x - top), 0));
  }
  return sum;
}

const questions: Question[] = [
  { prompt: "dog: a domesticated", choices: ["animal", "of the the in a", "xylophone"], answer: 0 },
  {
    prompt: "to run: move fast by using one's",
    choices: ["feet", "seven green ideas of a cloud"],
    answer: 1,
  },
  { prompt: "red: of a colour", choices: ["qqq", "similar to blood", "a"], answer: 1 },
];

describe("evaluateChoices", () => {
  it("counts the choices that the model's own log-probabilities prefer, whole and by length", async () => {
    let [right, normed] = [0, 0];
    for (const { prompt, choices, answer } of questions) {
      const before = tokenizer.encode(prompt);
      const all = choices.map((choice) => tokenizer.encode(`${prompt} ${choice}`));
      for (const ids of all) expect(ids.slice(0, before.length)).toEqual(before);
      const scores = await Promise.all(all.map((ids) => scored(ids, before.length)));
      const best = (values: number[]): number => values.indexOf(Math.max(...values));
      right += Number(best(scores) === answer);
      normed += Number(best(scores.map((score, c) => score / choices[c]!.length)) === answer);
    }
    for (const batchTokens of [1, 16, 4096]) {
      const found = await evaluateChoices(model, tokenizer, questions, { batchTokens });
      expect(found).toMatchObject({
        questions: 3,
        accuracy: right / 3,
        accuracyNorm: normed / 3,
        truncated: 0,
      });
      expect(found.chance).toBeCloseTo((1 / 3 + 1 / 2 + 1 / 3) / 3, 12);
    }
    expect(new Set([right, normed, 0, 3]).size).toBe(4); // the two ways differ here, and neither is trivial
  });

  it("cuts a prompt that is too long on its left", async () => {
    const long = { ...questions[0]!, prompt: `${"word ".repeat(2000)}${questions[0]!.prompt}` };
    const found = await evaluateChoices(model, tokenizer, [long]);
    expect(found.truncated).toBe(3);
  });

  it("refuses no questions", async () => {
    await expect(evaluateChoices(model, tokenizer, [])).rejects.toThrow(/no question/);
  });
});

describe("readQuestions", () => {
  it("reads the shapes of HellaSwag, ARC and plain rows", async () => {
    const file = path.join(tempDir(), "q.jsonl");
    const rows = [
      { ctx: "A man sits", endings: ["down.", "up."], label: "1" },
      { question: "Why?", choices: { text: ["x", "y"], label: ["A", "B"] }, answerKey: "B" },
      { query: "Q", choices: ["x", "y"], gold: 0 },
      { prompt: "Q", choices: ["x", "y"], answer: 1 },
    ];
    writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    expect(await readQuestions(file)).toEqual([
      { prompt: "A man sits", choices: ["down.", "up."], answer: 1 },
      { prompt: "Question: Why?\nAnswer:", choices: ["x", "y"], answer: 1 },
      { prompt: "Q", choices: ["x", "y"], answer: 0 },
      { prompt: "Q", choices: ["x", "y"], answer: 1 },
    ]);
  });

  it.each([
    [[1], /row 1: no JSON object/],
    [{ text: "x" }, /its fields are text/],
    [{ query: "q", choices: ["x"], gold: 0 }, /no list of at least two texts/],
    [{ query: "q", choices: ["x", "y"], gold: 2 }, /none of the 2 choices/],
    [{ query: "q", choices: ["x", " "], gold: 0 }, /choices\[1\] is empty/],
    [{ query: " ", choices: ["x", "y"], gold: 0 }, /query is empty/],
    [{ ctx: "q", endings: ["x", "y"], label: "" }, /none of the 2/],
    [{ question: "q", choices: { text: ["x", "y"], label: ["A", "B"] }, answerKey: "C" }, /none of the 2/],
  ])("refuses %j", async (row, message) => {
    await expect(readQuestions([row])).rejects.toThrow(message as RegExp);
  });
});
