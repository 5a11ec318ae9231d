import { createHash } from "node:crypto";
import path from "node:path";
import { refuseUnknown } from "../../core/options.ts";
import { pipeline, type RunProgress } from "../../data/pipeline.ts";
import { jsonl as readJsonl } from "../../data/readers/jsonl.ts";
import { stepLabels } from "../../data/run_task.ts";
import type { Reader, Step, StepDescription } from "../../data/step.ts";
import type { StepCounts } from "../../data/task_counts.ts";
import { jsonl as writeJsonl } from "../../data/writers/jsonl.ts";
import { chosenSteps, type PipelineVariant, type VariantDedup } from "./chosen_steps.ts";
import { withoutDuplicates } from "./variant_dedup.ts";

export interface PipelineVariantsOptions {
  /** Reader and steps of the whole pipeline, without writers. Which a variant has is by their names. */
  readonly steps: readonly [Reader, ...Step[]];
  /**
   * Name → variant. Default: "all", "none" (no step `filter.*`), and for each of those steps one without it
   * ("without-gopherQuality").
   */
  readonly variants?: Readonly<Record<string, PipelineVariant>> | undefined;
  /** What of near-duplicates in variants that don't say. Default "none". */
  readonly dedup?: VariantDedup | undefined;
  /** Folder for the texts; a rerun goes on there. */
  readonly out: string;
  /** As of a pipeline's run, of the part that reads the input. */
  readonly tasks?: number | undefined;
  /** Threads. Default 1. */
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: VariantProgress) => void) | undefined;
}

export interface VariantProgress extends RunProgress {
  /** Whose texts are being made. */
  readonly variants: readonly string[];
}

/** The texts of one variant, and what became of the others. */
export interface VariantTexts {
  /** .jsonl.gz files. */
  readonly files: readonly string[];
  /** Documents of the input. */
  readonly read: number;
  /** Documents in `files`. */
  readonly kept: number;
  /** Near-duplicates removed, after all steps. */
  readonly duplicates: number;
  /** Documents by step, of those that the variant has. */
  readonly steps: Readonly<Record<string, StepCounts>>;
}

/**
 * Makes the texts that an ablation of a pipeline compares. What variants have in common is done once: the steps before the
 * first in which they differ, and so on in each half, with the documents in between on disk.
 * @throws ConfigError for a writer among the steps, and for a variant that names what the pipeline hasn't; what a pipeline's
 * run throws; the signal's reason if that aborts. Another run with the same `out` goes on.
 */
export async function pipelineVariants(
  options: PipelineVariantsOptions,
): Promise<Record<string, VariantTexts>> {
  refuseUnknown("pipelineVariants", options, [
    "steps",
    "variants",
    "dedup",
    "out",
    "tasks",
    "workers",
    "signal",
    "onProgress",
  ]);
  const [reader, ...steps] = options.steps;
  const labels = stepLabels(options.steps);
  const chosen = chosenSteps(labels.slice(1), options.variants, options.dedup);
  const texts = await new Branches(options, steps, labels, chosen).split(
    { reader, from: 0, path: [reader.description], counts: {}, read: 0, kept: 0 },
    Object.keys(chosen),
  );
  // In the order in which they were asked for.
  return Object.fromEntries(Object.keys(chosen).map((name) => [name, texts[name]!]));
}

/** Where several variants have come to: documents that are the same for all of them. */
interface Place {
  readonly reader: Reader;
  /** The next step. */
  readonly from: number;
  /** What the documents have been through. */
  readonly path: readonly StepDescription[];
  readonly counts: Readonly<Record<string, StepCounts>>;
  readonly read: number;
  readonly kept: number;
  /** Folder of the documents, where they have been written. */
  readonly folder?: string;
}

class Branches {
  constructor(
    private readonly options: PipelineVariantsOptions,
    private readonly steps: readonly Step[],
    private readonly labels: readonly string[],
    private readonly chosen: ReturnType<typeof chosenSteps>,
  ) {}

  /** Goes on with some variants to where they part, and with each part from there. */
  async split(place: Place, names: readonly string[]): Promise<Record<string, VariantTexts>> {
    const has = (name: string, k: number): boolean => this.chosen[name]!.steps.has(k);
    const [first] = names;
    let to = place.from;
    while (to < this.steps.length && names.every((name) => has(name, to) === has(first!, to))) to++;
    const own: number[] = [];
    for (let k = place.from; k < to; k++) if (has(first!, k)) own.push(k);
    const here = own.length === 0 && place.folder !== undefined ? place : await this.run(place, own, names);
    if (to === this.steps.length) return this.texts(here, names);
    const next = { ...here, from: to };
    const on = names.filter((name) => has(name, to));
    const off = names.filter((name) => !has(name, to));
    return { ...(await this.split(next, on)), ...(await this.split(next, off)) };
  }

  /** Takes the documents of a place through some of the steps, and writes them. */
  private async run(place: Place, own: readonly number[], names: readonly string[]): Promise<Place> {
    const { out, workers, signal, tasks, onProgress } = this.options;
    const steps = own.map((k) => this.steps[k]!);
    const way = [...place.path, ...steps.map(({ description }) => description)];
    const key = createHash("sha256").update(JSON.stringify(way)).digest("hex").slice(0, 12);
    const folder = path.resolve(out, key);
    const texts = path.join(folder, "texts");
    const report = await pipeline([place.reader, ...steps, writeJsonl(texts)]).run({
      ...(place.folder === undefined && { tasks }),
      workers,
      signal,
      state: path.join(folder, "state"),
      onProgress: onProgress && ((progress) => onProgress({ ...progress, variants: names })),
    });
    const [read, ...counted] = Object.values(report.steps);
    const counts: Record<string, StepCounts> = { ...place.counts };
    if (place.folder === undefined) counts[this.labels[0]!] = read!;
    own.forEach((k, i) => {
      counts[this.labels[k + 1]!] = counted[i]!;
    });
    return {
      reader: readJsonl(texts),
      from: place.from,
      path: way,
      counts,
      read: place.folder === undefined ? report.read : place.read,
      kept: report.kept,
      folder,
    };
  }

  private async texts(place: Place, names: readonly string[]): Promise<Record<string, VariantTexts>> {
    const found: Record<string, VariantTexts> = {};
    const { workers, signal } = this.options;
    for (const name of names) {
      const { dedup } = this.chosen[name]!;
      const { files, duplicates } = await withoutDuplicates(place.folder!, dedup, { workers, signal });
      const { read, counts: steps, kept } = place;
      found[name] = { files, read, kept: kept - duplicates, duplicates, steps };
    }
    return found;
  }
}
