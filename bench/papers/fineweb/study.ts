// The study itself: texts of every variant, models on equal tokens of each, and what they score.
import { existsSync } from "node:fs";
import path from "node:path";
import { Random } from "../../../lib/core/random.ts";
import {
  type AblationResult,
  dedup,
  runAblation,
  trainTokenizer,
  type VariantTexts,
} from "../../../lib/index.ts";
import { plantJunk } from "./junk.ts";
import {
  glossQuestions,
  type Planted,
  passagesByPackage,
  passagesIn,
  passagesOf,
  sample,
  sentenceQuestions,
  sharesOf,
  withCopies,
  writeQuestions,
  writeTexts,
} from "./passages.ts";
import { crawlVariants } from "./texts.ts";

export const kFineweb = {
  seeds: 5,
  vocabSize: 2048,
  hidden: 64,
  layers: 2,
  /** That each model is trained on. */
  tokens: 250_000,
  batchTokens: 1024,
  lr: 4e-3,
  /** Moments at which a model is measured. */
  points: 3,
  /** Passages of each held-out text. */
  heldOut: 50,
  /** Passages of each variant, drawn at random, of which each seed's model sees others: more would only be tokenized. */
  passages: 3000,
  /** Of each task. */
  questions: 120,
  planted: { share: 0.05, copies: 60 } as Planted,
  threads: 2,
};

export type FinewebOptions = typeof kFineweb;

export interface Fineweb {
  options: FinewebOptions;
  /** Of the texts made by a pipeline. */
  texts: Record<string, VariantTexts>;
  /** Passages of each text that is trained on. */
  passages: Record<string, number>;
  /** Part of the passages that each package has. */
  mix: Record<"raw" | "filtered", Record<string, number>>;
  /** Near-copies planted in "copies", and documents that MinHash removed from it. */
  copies: { planted: number; removed: number };
  /** Pages without use planted in "junk", and how many of them the filters dropped. */
  junk: { planted: number; removed: number };
  results: AblationResult[];
}

/** Clean text of other sources than what is trained on: documents, and dictionary entries "word: definition". */
export interface HeldOut {
  handbook: readonly string[];
  glosses: readonly string[];
}

/** Raw passages, drawn so that packages have the parts that they have of the filtered ones. */
export const kControl = "raw-mixed-as-filtered";

/** Texts that get no models: the same documents as another variant has. */
const kUntrained = ["unique-by-package"];

/** Reads the crawl, and writes everything below `out`; what is there of an earlier run with these options is kept. */
export async function fineweb(
  { crawl, out, heldOut }: { crawl: string; out: string; heldOut: HeldOut },
  options: FinewebOptions,
  progress: (line: string) => void = () => undefined,
): Promise<Fineweb> {
  const texts = await crawlVariants(crawl, path.join(out, "texts"));
  progress(`${Object.keys(texts).length} variants of ${texts.raw!.read} pages`);
  const random = new Random(1);
  const trained: Record<string, string[]> = {};
  const passages: Record<string, number> = {};
  const drawn: Record<string, string[]> = {};
  const give = (name: string, all: readonly string[]): void => {
    drawn[name] = sample(all, options.passages, random);
    trained[name] = [writeTexts(path.join(out, "passages", `${name}.jsonl`), drawn[name])];
  };
  for (const [name, { files }] of Object.entries(texts)) {
    if (kUntrained.includes(name)) continue;
    const all = await passagesIn(files);
    passages[name] = all.length;
    give(name, all);
  }
  const base = await passagesIn(texts["filtered-unique"]!.files);
  const copied = withCopies(base, options.planted, random);
  const input = writeTexts(path.join(out, "planted", "copies.jsonl"), copied);
  const output = path.join(out, "planted", "unique");
  const { read, kept } = await dedup.minhash({ input, output }).run({ workers: options.threads });
  passages.copies = read;
  passages["copies-unique"] = kept;
  give("copies", copied);
  give("copies-unique", await passagesIn([path.join(output, "00000.jsonl.gz")]));
  progress(`MinHash removed ${read - kept} of ${read} passages, ${read - base.length} of them planted`);

  const tokenizer = path.join(out, "tokenizer");
  if (!existsSync(tokenizer)) {
    const some = Object.values(drawn).flatMap((texts) => texts.slice(0, 1000));
    await trainTokenizer(some, tokenizer, { vocabSize: options.vocabSize });
  }
  // The control: raw text of which as much is of each package as of the filtered.
  const [rawBy, filteredBy] = [
    await passagesByPackage(texts.raw!.files),
    await passagesByPackage(texts.filtered!.files),
  ];
  const mix = { raw: sharesOf(rawBy), filtered: sharesOf(filteredBy) };
  const control = Object.entries(mix.filtered).flatMap(([name, share]) =>
    sample(rawBy[name]!, Math.round(share * options.passages), random),
  );
  passages[kControl] = control.length;
  give(kControl, control);
  const planted = await plantJunk(texts.raw!.files, path.join(out, "planted", "junk"), random);
  for (const [name, { files }] of Object.entries({
    junk: planted.junk,
    "junk-filtered": planted.filtered,
  })) {
    const all = await passagesIn(files);
    passages[name] = all.length;
    give(name, all);
  }
  progress(`the filters dropped ${planted.removed} of ${planted.pages} planted pages`);

  const ablation = runAblation({
    variants: trained,
    tokenizer,
    model: modelOf(options),
    ...yardsticks(path.join(out, "held_out"), heldOut, options),
    out: path.join(out, "ablation"),
    resume: true,
    seeds: Array.from({ length: options.seeds }, (_, seed) => seed),
    tokens: options.tokens,
    points: options.points,
    questions: options.questions,
    batchTokens: options.batchTokens,
    lr: options.lr,
    device: "cpu",
    threads: options.threads,
  });
  const results: AblationResult[] = [];
  for await (const result of ablation) {
    results.push(result);
    const end = result.points.at(-1);
    const scores = Object.entries(end?.bitsPerByte ?? {}).map(([name, bits]) => `${name} ${bits.toFixed(4)}`);
    progress(`${result.variant}, seed ${result.seed}: ${result.reason ?? scores.join(", ")} bits a byte`);
  }
  return {
    options,
    texts,
    passages,
    mix,
    copies: { planted: read - base.length, removed: read - kept },
    junk: { planted: planted.pages, removed: planted.removed },
    results,
  };
}

const modelOf = ({ hidden, layers }: FinewebOptions): Record<string, unknown> => ({
  model_type: "llama",
  hidden_size: hidden,
  intermediate_size: 3 * hidden,
  num_hidden_layers: layers,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 512,
  rope_theta: 10_000,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  bos_token_id: null,
  eos_token_id: 0,
});

/** Files of held-out text, and of questions made of it. */
function yardsticks(dir: string, from: HeldOut, { heldOut, questions }: FinewebOptions) {
  const random = new Random(2);
  const file = (name: string): string => path.join(dir, name);
  // Twenty glosses are about as long as a passage.
  const some = Array.from({ length: heldOut }, () => sample(from.glosses, 20, random).join("\n"));
  const book = sample(from.handbook.flatMap(passagesOf), heldOut, random);
  const sentences = sentenceQuestions(from.handbook, questions, random);
  return {
    heldOut: {
      handbook: writeTexts(file("handbook.jsonl"), book),
      glosses: writeTexts(file("glosses.jsonl"), some),
    },
    choices: {
      sentence: writeQuestions(file("sentence.jsonl"), sentences),
      gloss: writeQuestions(file("gloss.jsonl"), glossQuestions(from.glosses, questions, random)),
    },
  };
}
