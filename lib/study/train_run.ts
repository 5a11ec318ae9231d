import { rm } from "node:fs/promises";
import path from "node:path";
import type { Adapter } from "../adapters/adapter.ts";
import type { Device } from "../core/device.ts";
import type { Corpus } from "../data/corpus.ts";
import { openCorpus } from "../data/open_corpus.ts";
import { packedBatches } from "../data/packed_batches.ts";
import { loadModel } from "../models/load.ts";
import type { Model } from "../models/model.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import type { StepMetrics } from "../train/metrics.ts";
import { type PretrainOptions, pretrain } from "../train/pretrain.ts";
import { openRunFolder, type RunFolder } from "../train/run_folder.ts";
import { driftOf } from "./drift.ts";
import { readJson, runFolder, versions, writeJson } from "./folder.ts";
import type { StudyRun } from "./grid.ts";
import { openHeldOut } from "./held_out.ts";
import { trainedMatrices } from "./matrices.ts";
import { attachMethod, optimizerOf, saveTrained } from "./method.ts";
import {
  kindOf,
  type ModuleDrift,
  type ModuleRank,
  median,
  type StudyPoint,
  type StudyResult,
} from "./results.ts";
import { pointsOf, type StudySettings } from "./settings.ts";
import { rankForVariance } from "./spectrum.ts";

/** How far a run has come, in a file of its own until it is through. */
type RunProgress = Pick<StudyResult, "parameters" | "points">;

const progressFile = (dir: string): string => path.join(dir, "progress.json");

export const readProgress = async (dir: string): Promise<RunProgress> =>
  (await readJson<RunProgress>(progressFile(dir))) ?? { parameters: 0, points: [] };

/** Removes what only an unfinished run needs. */
export async function clearProgress(dir: string): Promise<void> {
  await rm(path.join(dir, "checkpoints"), { recursive: true, force: true });
  await rm(progressFile(dir), { force: true });
}

/** What a run is trained with. */
interface Context {
  dir: string;
  settings: StudySettings;
  device: Device;
  model: Model;
  adapter: Adapter | undefined;
  /** Trains on from where the run stands. */
  training: Omit<PretrainOptions, "steps">;
  /** Called when it has taken the memory of a step; `frozen`: how many numbers of the model don't train. */
  measured: (frozen: number) => void;
  signal: AbortSignal;
}

/** Trains one run from where it stands to its end. Undefined: the signal came before. */
export async function trainRun(
  out: string,
  settings: StudySettings,
  run: StudyRun,
  { device, measured, signal }: Pick<Context, "device" | "measured" | "signal">,
): Promise<StudyResult | undefined> {
  const dir = runFolder(out, run.name);
  const model = await loadModel(settings.model, { device, dtype: settings.dtype });
  const adapter = attachMethod(model, run.method, run.seed);
  const corpus = await openCorpus(settings.data, await loadTokenizer(settings.model));
  const record = { command: "study run", settings: { ...run }, versions: versions(), dataSha256: "" };
  const folder = await openRunFolder(dir, record, []);
  try {
    const training = trainingOf(settings, run, { model, adapter, corpus, folder, signal });
    const context = { dir, settings, device, model, adapter, training, measured, signal };
    const progress = await trainPoints(context, folder);
    if (progress === undefined) return undefined;
    if (settings.save) await saveTrained(model, adapter, dir, settings.model);
    return { run, status: "done", ...progress };
  } finally {
    folder.close();
    await corpus.close?.();
  }
}

function trainingOf(
  settings: StudySettings,
  run: StudyRun,
  given: {
    model: Model;
    adapter: Adapter | undefined;
    corpus: Corpus;
    folder: RunFolder;
    signal: AbortSignal;
  },
): Context["training"] {
  const { batchTokens, accumulationSteps, recompute, checkpointEvery: every } = settings;
  const { seed } = run;
  const { model, adapter, corpus, folder, signal } = given;
  const maxLength = Math.min(model.config.maxPositionEmbeddings, batchTokens);
  return {
    model,
    params: adapter?.params ?? model.params,
    data: packedBatches(corpus, { batchTokens, maxLength, seed }),
    optimizer: optimizerOf(settings, run),
    seed,
    accumulationSteps,
    recompute,
    auxLossCoef: settings.auxLossCoef ?? model.config.routerAuxLossCoef,
    checkpoint: { dir: folder.checkpoints, every, keep: 1, resume: true },
    signal,
  };
}

/** The first step that has an optimizer's state from the start. */
const kMeasuredStep = 2;

/**
 * Point by point: trains up to it, which saves a checkpoint there, measures, and writes the point down. So at whatever moment
 * the process ends, no point is lost, and none is measured on other weights.
 */
async function trainPoints(context: Context, folder: RunFolder): Promise<RunProgress | undefined> {
  const { dir, settings, device, model, adapter, training, measured, signal } = context;
  const heldOut = await openHeldOut(settings, model, await loadTokenizer(settings.model));
  const { points } = await readProgress(dir);
  const parameters = Object.values(training.params!).reduce((n, { size }) => n + size, 0);
  const frozen = adapter ? Object.values(model.params).reduce((n, { size }) => n + size, 0) : 0;
  const save = () => writeJson(progressFile(dir), { parameters, points });
  await save();
  const all = pointsOf(settings);
  let measuredPeak = 0;
  // A run with all its points is loaded once more: what it trained may still have to be saved.
  for (const step of all.slice(Math.min(points.length, all.length - 1))) {
    const done: StepMetrics[] = [];
    for await (const m of pretrain({ ...training, steps: step })) {
      folder.log(m);
      done.push(m);
      if (done.length === kMeasuredStep) measured(frozen);
    }
    if (signal.aborted) return undefined;
    if (points.at(-1)?.step === step) break;
    const { peakBytes } = device.stats();
    points.push({
      step,
      tokens: step * settings.accumulationSteps * settings.batchTokens,
      ...(await heldOut.measure(model)),
      ...(await changesOf(model, adapter, settings)),
      ...timeOf(done),
      ...(peakBytes > measuredPeak && done.length > 0 && { peakBytes }),
    });
    await save();
    measured(frozen);
    measuredPeak = device.stats().peakBytes;
  }
  return { parameters, points };
}

function timeOf(steps: readonly StepMetrics[]): Pick<StudyPoint, "msPerToken"> {
  const msPerToken = median(steps.map(({ tokensPerSecond }) => 1000 / tokensPerSecond));
  return msPerToken === undefined ? {} : { msPerToken };
}

/** How far each trained matrix has moved, and over how many directions. */
async function changesOf(
  model: Model,
  adapter: Adapter | undefined,
  { model: base, variance, largestSpectrum }: StudySettings,
): Promise<Pick<StudyPoint, "drift" | "ranks" | "unranked">> {
  const drift: ModuleDrift[] = [];
  const ranks: ModuleRank[] = [];
  let unranked = 0;
  for await (const { module, before, after, rows, columns } of trainedMatrices(model, adapter, base)) {
    const kind = kindOf(module);
    drift.push({ module, kind, ...driftOf(before, after, rows, columns) });
    const of = Math.min(rows, columns);
    if (of > largestSpectrum) {
      unranked++;
      continue;
    }
    const delta = Float64Array.from(after, (value, i) => value - before[i]!);
    ranks.push({ module, kind, rank: rankForVariance(delta, rows, columns, variance), of });
  }
  return { drift, ranks, unranked };
}
