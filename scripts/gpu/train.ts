import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { type Subject, trainingStep } from "../../bench/training_step.ts";
import { lossesAfter } from "../../lib/cli/quickstart/report.ts";
import { runQuickstart, type Stage } from "../../lib/cli/quickstart/run.ts";
import { glosses } from "../../lib/cli/quickstart/texts.ts";
import { device } from "../../lib/core/device.ts";
import type { DType } from "../../lib/core/dtype.ts";
import { tokenizeDocuments } from "../../lib/data/corpus.ts";
import { sequentialBatches } from "../../lib/data/packed_batches.ts";
import { generate } from "../../lib/generate/generate.ts";
import { exampleModelDir } from "../../lib/models/example_model.ts";
import { loadModel } from "../../lib/models/load.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { evaluateLoss } from "../../lib/train/evaluate.ts";
import type { Cells } from "./report.ts";

/** How far losses of the two devices may part. */
const apart: Partial<Record<DType, number>> = { f32: 1e-3, bf16: 3e-2 };

/** The losses of the first steps of one model on both devices. Throws if they part, or don't fall. */
export async function trainBoth(dtype: DType, subject: Subject, steps = 8): Promise<Cells[]> {
  const losses: number[][] = [];
  for (const name of ["cuda", "cpu"]) {
    using dev = await device(name);
    const { enqueue } = trainingStep(dev, dtype, subject);
    const promises: Promise<number>[] = [];
    for (let i = 0; i < steps; i++) {
      promises.push(enqueue());
      await dev.ready({ behind: 1 });
    }
    losses.push(await Promise.all(promises));
  }
  const [cuda, cpu] = losses as [number[], number[]];
  const distance = Math.max(...cuda.map((loss, i) => Math.abs(loss / cpu[i]! - 1)));
  const rows = cuda.map((loss, i) => [i + 1, loss.toFixed(5), cpu[i]!.toFixed(5)]);
  if (!(distance < apart[dtype]!))
    throw new Error(`the losses part by ${distance}: ${JSON.stringify(losses)}`);
  if (!(cuda.at(-1)! < cuda[0]!)) throw new Error(`the loss does not fall: ${JSON.stringify(cuda)}`);
  return [["step", "loss on CUDA", "loss on the CPU"], ...rows];
}

const prompt = "house:";

/**
 * The model of the package on both devices: its loss on dictionary entries, and what it writes where each next token is the
 * likeliest one. Throws if the losses part, or in f32 the texts.
 */
export async function writeBoth(dtype: DType, newTokens: number): Promise<Cells[]> {
  const tokenizer = await loadTokenizer(exampleModelDir);
  const texts = (await glosses()).filter((_, i) => i % (40_000 / newTokens) === 0);
  const corpus = await tokenizeDocuments(tokenizer, texts);
  const batches = await sequentialBatches(corpus, { batchTokens: 1024, maxLength: 256 });
  const seen: { name: string; loss: number; text: string; perSecond: number }[] = [];
  for (const name of ["cuda", "cpu"]) {
    using dev = await device(name);
    using model = await loadModel(exampleModelDir, { device: dev, dtype });
    const loss = await evaluateLoss(model, batches);
    let text = "";
    let tokens = 0;
    const from = performance.now();
    for await (const piece of generate(model, tokenizer, {
      prompt,
      maxNewTokens: newTokens,
      temperature: 0,
    })) {
      text += piece.text;
      tokens++;
    }
    seen.push({ name, loss, text, perSecond: (1e3 * tokens) / (performance.now() - from) });
  }
  const [cuda, cpu] = seen as [(typeof seen)[number], (typeof seen)[number]];
  if (!(Math.abs(cuda.loss / cpu.loss - 1) < apart[dtype]!))
    throw new Error(`the losses part: ${cuda.loss} on CUDA, ${cpu.loss} on the CPU`);
  if (dtype === "f32" && cuda.text !== cpu.text)
    throw new Error(
      `after ${prompt} CUDA wrote ${JSON.stringify(cuda.text)}, the CPU ${JSON.stringify(cpu.text)}`,
    );
  const rows = seen.map(({ name, loss, text, perSecond }): Cells => {
    return [name, loss.toFixed(5), perSecond.toFixed(0), (prompt + text).replaceAll("\n", " ").trim()];
  });
  return [["device", `loss on ${texts.length} dictionary entries`, "tokens/s", "text"], ...rows];
}

/** The quickstart, with fewer updates. Throws if a loss doesn't fall. */
export async function quickstart(
  name: string,
  steps: { pretrainSteps: number; finetuneSteps: number },
): Promise<Cells[]> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "mixwright-quickstart-"));
  const spent: number[] = [];
  const stage: Stage = {
    title: () => undefined,
    line: () => undefined,
    follow: () => {
      const from = performance.now();
      return { step: () => undefined, end: () => void spent.push(performance.now() - from) };
    },
  };
  try {
    using dev = await device(name);
    const out = path.join(folder, "run");
    const { signal } = new AbortController();
    const outcome = await runQuickstart(dev, { out, seed: 1, ...steps, signal }, stage);
    const runs = [
      { run: "pretraining", metrics: outcome.pretraining, set: "glosses" },
      { run: "DoRA", metrics: outcome.finetuning, set: "declarations" },
    ];
    const rows = runs.map(({ run, metrics, set }, i): Cells => {
      const [first, last] = [metrics[0]!.loss, metrics.at(-1)!.loss];
      if (!(last < first)) throw new Error(`${run}: the loss goes from ${first} to ${last}`);
      const losses = [first, last, lossesAfter(metrics)[set]!].map((loss) => loss.toFixed(3));
      return [run, metrics.length, ...losses, (spent[i]! / metrics.length).toFixed(1)];
    });
    const head = [
      "run",
      "updates",
      "first loss",
      "last loss",
      "held-out loss",
      "ms an update, with validation",
    ];
    const samples = [...outcome.finetuned].map(([prompt, text]): Cells => {
      return [JSON.stringify(prompt), "", "", "", "", (prompt + text).replaceAll("\n", " ").trim()];
    });
    return [head, ...rows, ...samples];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
