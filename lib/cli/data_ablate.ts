import { availableParallelism } from "node:os";
import path from "node:path";
import { z } from "zod";
import {
  type AblationResult,
  ablatePipeline,
  type PipelineAblationOptions,
  readPipelineSteps,
  type VariantTexts,
} from "../index.ts";
import { showTasks } from "./data_progress.ts";
import { threadsOption } from "./device.ts";
import { onInterrupt } from "./interrupt.ts";
import { command, filePath, inConfigOnly, jsonOption } from "./options.ts";
import { note, printJson, printTable, program } from "./output.ts";

const files = z.record(z.string(), filePath()).default({}).meta(inConfigOnly);

export default command({
  argument: "config",
  options: z.strictObject({
    config: filePath().describe(
      "YAML file with steps, model, held-out, choices, variants, dedup, and the keys below; flags win",
    ),
    steps: z.array(z.unknown()).meta(inConfigOnly).describe("reader and steps, without writers"),
    variants: z
      .record(z.string(), z.record(z.string(), z.unknown()))
      .optional()
      .meta(inConfigOnly)
      .describe("name: without, only (steps), dedup; default: all, none, and one without each filter"),
    dedup: z
      .union([z.string(), z.record(z.string(), z.string())])
      .optional()
      .meta(inConfigOnly)
      .describe("of variants that don't say: none, global, or by: a word of the metadata"),
    out: filePath().describe("folder for texts, tokenizer, models and report"),
    tokenizer: filePath().optional().describe("folder with a tokenizer.json; default: one is learned"),
    vocabSize: z.int().min(1).optional().describe("size of the one that is learned (default 4096)"),
    model: z
      .record(z.string(), z.unknown())
      .meta(inConfigOnly)
      .describe("config of the model trained on each"),
    heldOut: files.describe("name: held-out text, measured in bits per byte"),
    choices: files.describe("name: multiple-choice questions"),
    seeds: z.array(z.int().min(0)).default([0, 1]).describe("each draws other documents and weights"),
    tokens: z.int().min(1).optional().describe("of each model; default: what the smallest variant has"),
    points: z.int().min(1).optional().describe("moments at which a model is measured (default 5)"),
    questions: z.int().min(1).optional().describe("of each task, the first (default 1000)"),
    batchTokens: z.int().min(1).optional().describe("tokens of a batch (default 4096)"),
    lr: z.number().min(0).optional().describe("AdamW's rate at its peak (default 0.001)"),
    warmupSteps: z.int().min(0).optional().describe("default: a twentieth of the steps"),
    weightDecay: z.number().min(0).optional().describe("on matrices only (default 0.1)"),
    clip: z.number().min(0).optional().describe("largest norm of all gradients together (default 1)"),
    tasks: z.int().min(1).optional().describe("shares of the input files (default: one for each file)"),
    workers: z.int().min(1).optional().describe("tasks at once, each on a thread (default: one a core)"),
    device: z.string().default("auto").describe("cpu, cuda, cuda:1, auto"),
    resume: z.boolean().default(false).describe("go on with the ablation in --out"),
    ...threadsOption,
    ...jsonOption,
  }),
  run: async ({ json, config, steps: _, ...given }) => {
    const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    const options = { workers: availableParallelism(), ...set } as Omit<PipelineAblationOptions, "steps">;
    const steps = await readPipelineSteps(config);
    const interrupt = onInterrupt("Stopping. What is through stays. Once more to stop at once.");
    const { signal } = interrupt;
    const progress = showTasks(json);
    const results: AblationResult[] = [];
    let stopped = false;
    try {
      const run = ablatePipeline({
        ...options,
        steps,
        signal,
        onProgress: progress.show,
        onTexts: (texts) => {
          progress.end();
          if (json) printJson({ texts });
          else printTexts(texts);
        },
      });
      for await (const result of run) {
        results.push(result);
        if (json) printJson(result);
        else process.stdout.write(`${wordsOf(result)}\n`);
      }
      stopped = signal.aborted;
    } catch (error) {
      if (!signal.aborted) throw error;
      stopped = true;
    } finally {
      progress.end();
      interrupt.end();
    }
    if (stopped) {
      note(`Stopped. Go on: ${program()} data ablate ${config} --resume, with the same flags`);
      process.exitCode = 130;
    } else if (!json) process.stdout.write(`report in ${path.join(given.out, "ablation", "report.html")}\n`);
  },
});

function printTexts(texts: Readonly<Record<string, VariantTexts>>): void {
  const share = (kept: number, read: number): string => `${((100 * kept) / read).toFixed(1)} %`;
  printTable(
    Object.entries(texts).map(([name, { read, kept, duplicates }]) => [
      name,
      `${kept} of ${read} documents (${share(kept, read)})${duplicates > 0 ? `, ${duplicates} near-duplicates removed` : ""}`,
    ]),
  );
}

function wordsOf({ variant, seed, reason, points }: AblationResult): string {
  const name = `${variant}, seed ${seed}`;
  if (reason !== undefined) return `${name}: failed, ${reason}`;
  const { bitsPerByte, choices } = points.at(-1)!;
  const parts = [
    ...Object.entries(bitsPerByte).map(([domain, bits]) => `${domain} ${bits.toFixed(4)} bits a byte`),
    ...Object.entries(choices).map(
      ([task, { accuracyNorm }]) => `${task} ${(100 * accuracyNorm).toFixed(1)} % right`,
    ),
  ];
  return `${name}: ${parts.join(" · ")}`;
}
