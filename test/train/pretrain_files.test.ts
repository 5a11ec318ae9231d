import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { corpusOf, joinCorpora } from "../../lib/data/corpus.ts";
import { exampleModelDir } from "../../lib/models/example_model.ts";
import { loadModel } from "../../lib/models/load.ts";
import type { StepMetrics } from "../../lib/train/metrics.ts";
import { type PretrainOptions, pretrain } from "../../lib/train/pretrain.ts";
import { tinyMoe, tinyOptimizer } from "../support/tiny_run.ts";

let dir: string;
let dev: Device;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "mixwright-files-"));
  dev = await device("cpu", { threads: 2 });
  await writeFile(path.join(dir, "a.txt"), "ship: a vessel that carries people over the sea");
  const line = (text: string) => `${JSON.stringify({ text })}\n`;
  await writeFile(
    path.join(dir, "b.jsonl"),
    line("house: a building that people live in") + line("sea: much water"),
  );
});
afterAll(async () => {
  dev.close();
  await rm(dir, { recursive: true });
});

async function losses(options: Omit<PretrainOptions, "optimizer" | "steps">, steps = 6): Promise<number[]> {
  const seen: StepMetrics[] = [];
  for await (const m of pretrain({ ...options, optimizer: tinyOptimizer(1e-3), steps, batchTokens: 64 }))
    seen.push(m);
  return seen.map((m) => m.loss);
}

test("text files train with the tokenizer of the model's folder, the same way every time", async () => {
  const data = [path.join(dir, "a.txt"), path.join(dir, "b.jsonl")];
  const runs: number[][] = [];
  for (let i = 0; i < 2; i++) {
    using model = await loadModel(exampleModelDir, { device: dev });
    runs.push(await losses({ model, data }, 12));
  }
  expect(runs[1]).toEqual(runs[0]);
  expect(runs[0]!.at(-1)).toBeLessThan(runs[0]![0]! * 0.8);
  expect(dev.stats().live).toBe(0);
});

test("a created model needs a tokenizer for text; a resumed run needs the same data", async () => {
  using created = tinyMoe(dev);
  await expect(losses({ model: created, data: path.join(dir, "a.txt") })).rejects.toThrow(
    "a tokenizer was needed",
  );
  using model = await loadModel(exampleModelDir, { device: dev });
  const checkpoint = { dir: path.join(dir, "run") };
  await losses({ model, data: path.join(dir, "a.txt"), checkpoint }, 2);
  const other = { model, data: path.join(dir, "b.jsonl"), checkpoint: { ...checkpoint, resume: true } };
  await expect(losses(other, 2)).rejects.toThrow("belongs to a run with documents 1, this one has 2");
});

test("joined corpora count their documents through", () => {
  const joined = joinCorpora([corpusOf([[1, 2], [3]]), corpusOf([]), corpusOf([[4, 5, 6]])]);
  expect(joined.documents).toBe(3);
  expect([0, 1, 2].map((i) => joined.length(i))).toEqual([2, 1, 3]);
  expect([0, 1, 2].map((i) => [...(joined.document(i) as Int32Array)])).toEqual([[1, 2], [3], [4, 5, 6]]);
});
