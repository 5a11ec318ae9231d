import { existsSync } from "node:fs";
import path from "node:path";
import { ConfigError } from "../../core/errors.ts";
import { checkWhole } from "../../core/options.ts";
import { stepLabels } from "../../data/run_task.ts";
import { readTexts } from "../../data/text_files.ts";
import { sha256OfFiles } from "../../io/file_hash.ts";
import { loadTokenizer } from "../../text/tokenizer.ts";
import { trainTokenizer } from "../../text/train_tokenizer.ts";
import { lockRunFolder } from "../../train/run_lock.ts";
import { writeJson } from "../folder.ts";
import { runAblation } from "./ablation.ts";
import { chosenSteps } from "./chosen_steps.ts";
import type { AblationResult } from "./results.ts";
import { type AblationOptions, settingsOf } from "./settings.ts";
import { type PipelineVariantsOptions, pipelineVariants, type VariantTexts } from "./variants.ts";

export interface PipelineAblationOptions
  extends Omit<AblationOptions, "variants" | "tokenizer">,
    Omit<PipelineVariantsOptions, "out" | "signal"> {
  /** Folder with a tokenizer.json. Without it one is learned from the texts of all variants. */
  tokenizer?: string;
  /** Size of the vocabulary that is learned. Default 4096. */
  vocabSize?: number;
  /** Told of the texts when they are there, before the first model is trained. */
  onTexts?: ((texts: Readonly<Record<string, VariantTexts>>) => void) | undefined;
}

/** Text that a tokenizer is learned from, of all variants together, in UTF-16 code units. */
const kSample = 32 * 2 ** 20;

/**
 * An ablation of a pipeline from its input to the report: makes the texts of each variant (pipelineVariants), learns a tokenizer
 * from them if none is given, and compares models trained on them (runAblation). `out` holds `texts/` with variants.json,
 * `tokenizer/` and `ablation/`. After the signal or a kill, `resume: true` goes on where it was.
 * @throws what these three throw; ConfigError for a folder that holds an earlier one, without `resume`.
 */
export async function* ablatePipeline(
  options: PipelineAblationOptions,
): AsyncGenerator<AblationResult, void, void> {
  const { steps, variants, dedup, tasks, workers, onProgress, ...others } = options;
  const { tokenizer: given, vocabSize, onTexts, out, resume = false, signal, ...measured } = others;
  if (given !== undefined && vocabSize !== undefined) {
    throw new ConfigError(
      `ablate: tokenizer is ${given} and vocabSize ${vocabSize}, one of them at most was needed: vocabSize is for a tokenizer that is learned`,
      "vocabSize",
    );
  }
  checkWhole("ablate", { vocabSize: vocabSize ?? 4096 }, 257);
  const texts = path.join(out, "texts");
  await checkBefore(options);
  if (!resume && existsSync(texts)) {
    throw new ConfigError(
      `ablate: ${out} holds an earlier ablation. Go on with it by --resume, or take another folder`,
      "out",
    );
  }
  const unlock = await lockRunFolder("ablate", path.resolve(out));
  try {
    const made = await pipelineVariants({
      ...{ steps, variants, dedup, tasks, workers, onProgress, signal },
      out: texts,
    });
    await writeJson(path.join(texts, "variants.json"), made);
    onTexts?.(made);
    const files = Object.fromEntries(Object.entries(made).map(([name, of]) => [name, of.files]));
    const tokenizer = given ?? (await learned(path.join(out, "tokenizer"), files, vocabSize ?? 4096));
    if (signal?.aborted) return;
    yield* runAblation({
      ...measured,
      ...(signal && { signal }),
      variants: files,
      tokenizer,
      out: path.join(out, "ablation"),
      resume,
    });
  } finally {
    await unlock();
  }
}

/** What would only be found out after the texts are made. */
async function checkBefore(options: PipelineAblationOptions): Promise<void> {
  const { steps, variants, dedup, tasks: _t, workers: _w, onProgress: _p, ...others } = options;
  const { onTexts: _o, vocabSize: _v, ...measured } = others;
  const names = Object.keys(chosenSteps(stepLabels(steps).slice(1), variants, dedup));
  const placeholder = Object.fromEntries(names.map((name) => [name, ["made later"]]));
  const { heldOut, choices } = settingsOf({ tokenizer: "learned", ...measured, variants: placeholder });
  await sha256OfFiles([...Object.values(heldOut), ...Object.values(choices)]);
}

/** The tokenizer in a folder, learned now if it isn't there. */
async function learned(
  dir: string,
  variants: Readonly<Record<string, readonly string[]>>,
  vocabSize: number,
): Promise<string> {
  if (!existsSync(dir)) await trainTokenizer(sampleOf(variants), dir, { vocabSize });
  const found = (await loadTokenizer(dir)).vocabSize;
  if (found === vocabSize) return dir;
  throw new ConfigError(
    `ablate: vocabSize is ${vocabSize}, the tokenizer in ${dir} has ${found}. Give that, or take another folder`,
    "vocabSize",
  );
}

/** The beginning of each variant's texts, as much of each. */
async function* sampleOf(variants: Readonly<Record<string, readonly string[]>>): AsyncGenerator<string> {
  for (const files of Object.values(variants)) {
    let left = kSample / Object.keys(variants).length;
    for (const file of files) {
      if (left <= 0) break;
      for await (const text of readTexts(file)) {
        yield text;
        left -= text.length;
        if (left <= 0) break;
      }
    }
  }
}
