import { readdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { ConfigError } from "../../core/errors.ts";
import type { Corpus } from "../../data/corpus.ts";
import { tokenizeDocuments } from "../../data/corpus.ts";
import { packedBatches, sequentialBatches } from "../../data/packed_batches.ts";
import {
  type Adapter,
  adamw,
  attachDora,
  chain,
  clipByGlobalNorm,
  createModel,
  type Device,
  generate,
  loadTokenizer,
  type Model,
  mergeAdapter,
  pretrain,
  type StepMetrics,
  saveAdapter,
  saveModel,
  schedule,
  type TokenBatch,
  type Tokenizer,
} from "../../index.ts";
import { type JsonlWriter, openJsonlWriter } from "../../io/jsonl.ts";
import { trainTokenizer } from "../../text/train_tokenizer.ts";
import { lossesAfter, type Outcome, writeQuickstartReport } from "./report.ts";
import { declarations, glosses } from "./texts.ts";

/** What the run shows while it goes on. */
export interface Stage {
  title(text: string): void;
  line(text: string): void;
  /** Follows a training run. */
  follow(steps: number): { step(m: StepMetrics): void; end(): void };
}

export interface QuickstartOptions {
  out: string;
  seed: number;
  /** Updates of the two runs. */
  pretrainSteps: number;
  finetuneSteps: number;
  signal: AbortSignal;
}

const batchTokens = 1024;
const maxLength = 256;

/** A sparse model that two cores train in a minute: 8 experts a layer, 2 of them for each token. */
const architecture = {
  model_type: "mixtral",
  vocab_size: 2048,
  hidden_size: 128,
  intermediate_size: 128,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_local_experts: 8,
  num_experts_per_tok: 2,
  max_position_embeddings: 512,
  rope_theta: 10000,
  tie_word_embeddings: true,
  bos_token_id: null,
  eos_token_id: 0,
};

const glossPrompts = ["house:", "sing:", "small boat:"];
const codePrompts = ["interface Array", "declare function"];

/** Pretrains a small sparse model, fine-tunes it with DoRA on another text, and shows what changed. */
export async function runQuickstart(
  device: Device,
  options: QuickstartOptions,
  stage: Stage,
): Promise<Outcome> {
  await checkFolder(options.out);
  // An earlier run stays until this one is finished.
  const work = `${options.out}.unfinished-${process.pid}`;
  try {
    const outcome = await build(device, { ...options, out: work }, stage);
    await moveIntoPlace(work, options.out);
    return outcome;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function build(device: Device, options: QuickstartOptions, stage: Stage): Promise<Outcome> {
  const { out, seed, signal } = options;
  stage.title("1 · Texts and tokenizer");
  const texts = { glosses: await glosses(), declarations: await declarations() };
  const modelDir = path.join(out, "model");
  await trainTokenizer(sampleOf(texts.glosses, 4), modelDir, {
    vocabSize: architecture.vocab_size,
  });
  const tokenizer = await loadTokenizer(modelDir);
  const data = {
    glosses: await dataset(tokenizer, texts.glosses, 800),
    declarations: await dataset(tokenizer, texts.declarations, 60),
  };
  stage.line(
    `WordNet glosses: ${data.glosses.corpus.documents} documents · TypeScript declarations: ${data.declarations.corpus.documents}`,
  );

  const model = createModel(architecture, { device, seed });
  const parameters = Object.values(model.params).reduce((n, tensor) => n + tensor.size, 0);
  stage.title(
    `2 · Pretraining a mixture of 8 experts (${(parameters / 1e6).toFixed(1)} million parameters) on dictionary glosses`,
  );
  const metrics = openJsonlWriter(path.join(out, "metrics.jsonl"));
  const sets = { glosses: data.glosses.validation, declarations: data.declarations.validation };
  const run = { model, seed, signal, sets, stage, metrics };
  const untrained = await samplesOf(model, tokenizer, glossPrompts, seed);
  show(stage, "before training", untrained);
  const pretraining = await follow(run, {
    phase: "pretrain",
    steps: options.pretrainSteps,
    peak: 3e-3,
    data: data.glosses,
    params: model.params,
  });
  const pretrained = await samplesOf(model, tokenizer, [...glossPrompts, ...codePrompts], seed);
  show(stage, "after pretraining", pretrained);
  await saveModel(model, modelDir, { tokenizerFrom: modelDir });

  stage.title("3 · Fine-tuning it with DoRA, experts included, on TypeScript declarations");
  const adapter = attachDora(model, { rank: 8, alpha: 16, targets: "all-linear", seed });
  const initial = await magnitudesOf(adapter);
  const finetuning = await follow(run, {
    phase: "dora",
    steps: options.finetuneSteps,
    peak: 5e-3,
    data: data.declarations,
    params: adapter.params,
  });
  const finetuned = await samplesOf(model, tokenizer, [...glossPrompts, ...codePrompts], seed);
  show(stage, "after fine-tuning", finetuned);
  const final = await magnitudesOf(adapter);
  metrics.close();

  await saveAdapter(adapter, path.join(out, "adapter"));
  await mergeAdapter(adapter);
  await saveModel(model, path.join(out, "merged"), { tokenizerFrom: modelDir });
  const outcome = {
    parameters,
    pretraining,
    finetuning,
    untrained,
    pretrained,
    finetuned,
    magnitudes: { initial, final },
  };
  await writeQuickstartReport(path.join(out, "report.html"), outcome);
  const losses = { pretrained: lossesAfter(pretraining), finetuned: lossesAfter(finetuning) };
  await writeFile(path.join(out, marker), `${JSON.stringify({ seed, parameters, ...losses }, null, 2)}\n`);
  model.dispose();
  return outcome;
}

/** In every finished quickstart's folder: such a folder may be replaced by a new one. */
const marker = "quickstart.json";
const ours = ["adapter", "merged", "metrics.jsonl", "model", marker, "report.html"];

/** Throws ConfigError for a folder that holds anything but an earlier quickstart. */
async function checkFolder(out: string): Promise<void> {
  const names = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [] as string[];
    throw error;
  });
  const foreign = names.includes(marker) ? names.find((name) => !ours.includes(name)) : names[0];
  if (foreign === undefined) return;
  throw new ConfigError(
    `quickstart: ${out} holds ${foreign}, an empty folder or one of an earlier quickstart was needed. Choose another --out`,
    "out",
  );
}

/** Puts the finished run where it was asked for, in place of an earlier one. */
async function moveIntoPlace(work: string, out: string): Promise<void> {
  await checkFolder(out);
  await rm(out, { recursive: true, force: true });
  await rename(work, out);
}

/** Every n-th text: enough to learn merges from. */
const sampleOf = (texts: readonly string[], every: number): string[] =>
  texts.filter((_, i) => i % every === 0);

interface Dataset {
  corpus: Corpus;
  validation: TokenBatch[];
}

/** Every n-th document is held out; of those, a few thousand tokens are measured. */
async function dataset(tokenizer: Tokenizer, texts: readonly string[], every: number): Promise<Dataset> {
  const held = sampleOf(texts, every);
  const corpus = await tokenizeDocuments(
    tokenizer,
    texts.filter((_, i) => i % every !== 0),
  );
  const validation = await sequentialBatches(await tokenizeDocuments(tokenizer, held), {
    batchTokens,
    maxLength,
  });
  return { corpus, validation: validation.slice(0, 1) };
}

interface Run {
  model: Model;
  seed: number;
  signal: AbortSignal;
  sets: Record<string, TokenBatch[]>;
  stage: Stage;
  metrics: JsonlWriter;
}

interface Phase {
  phase: string;
  steps: number;
  peak: number;
  data: Dataset;
  params: Adapter["params"];
}

/** One training run, shown and written down. Throws what the signal says when it is aborted. */
async function follow(
  { model, seed, signal, sets, stage, metrics }: Run,
  { phase, steps, peak, data, params }: Phase,
): Promise<StepMetrics[]> {
  const seen: StepMetrics[] = [];
  const shown = stage.follow(steps);
  const lr = schedule.warmupCosine({
    peak,
    min: peak / 10,
    warmupSteps: Math.ceil(steps / 20),
    totalSteps: steps,
  });
  const training = pretrain({
    model,
    params,
    data: packedBatches(data.corpus, { batchTokens, maxLength, seed }),
    optimizer: chain(
      clipByGlobalNorm(1),
      adamw({ lr, betas: [0.9, 0.95], weightDecay: 0.1, decay: (_, shape) => shape.length > 1 }),
    ),
    steps,
    seed,
    auxLossCoef: 0.01,
    validation: { every: Math.ceil(steps / 8), sets },
    signal,
  });
  for await (const m of training) {
    seen.push(m);
    shown.step(m);
    metrics.append({ phase, ...m });
  }
  shown.end();
  signal.throwIfAborted();
  return seen;
}

/** What the model writes after each prompt, the same draws every time. */
async function samplesOf(
  model: Model,
  tokenizer: Tokenizer,
  prompts: readonly string[],
  seed: number,
): Promise<Map<string, string>> {
  const samples = new Map<string, string>();
  for (const prompt of prompts) {
    let text = "";
    for await (const piece of generate(model, tokenizer, {
      prompt,
      maxNewTokens: 40,
      temperature: 0.7,
      topP: 0.9,
      seed,
    }))
      text += piece.text;
    samples.set(prompt, text);
  }
  return samples;
}

function show(stage: Stage, when: string, samples: ReadonlyMap<string, string>): void {
  stage.line(`Samples ${when}:`);
  for (const [prompt, text] of samples) stage.line(`  ${prompt}▸${text.replaceAll("\n", " ").trimEnd()}`);
}

async function magnitudesOf(adapter: Adapter): Promise<Map<string, Float32Array>> {
  const magnitudes = new Map<string, Float32Array>();
  for (const [key, tensor] of Object.entries(adapter.params)) {
    if (key.endsWith(".lora_magnitude_vector")) {
      magnitudes.set(key.slice(0, -".lora_magnitude_vector".length), (await tensor.data()) as Float32Array);
    }
  }
  return magnitudes;
}
