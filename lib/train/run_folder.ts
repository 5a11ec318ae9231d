import path from "node:path";
import { ConfigError, FormatError } from "../core/errors.ts";
import { writeFileAtomically } from "../io/atomic.ts";
import { namesIn, requireFreshFolder } from "../io/fresh_folder.ts";
import { isObject, parseJson } from "../io/json.ts";
import { type JsonlWriter, openJsonlWriter } from "../io/jsonl.ts";
import { readTextIfThere } from "../io/read_text.ts";
import { checkpointSteps } from "./checkpoint.ts";
import type { StepMetrics } from "./metrics.ts";
import { kLockName } from "./run_lock.ts";

/** What a run is: written to run.json. */
export interface RunRecord {
  command: string;
  settings: Readonly<Record<string, unknown>>;
  versions: Readonly<Record<string, string>>;
  /** Hash of the bytes of `settings.data`. */
  dataSha256: string;
}

/** Something that the policy wrote in a step, and its score. */
export interface WrittenSample {
  step: number;
  score: number;
  prompt: string;
  completion: string;
  finished: string;
}

/**
 * An open folder of a run: `run.json`, `metrics.jsonl`, `samples.jsonl` where a policy writes, `checkpoints/`, and in the end what
 * was trained.
 */
export interface RunFolder {
  dir: string;
  checkpoints: string;
  /** Appends a line to metrics.jsonl. */
  log(metrics: StepMetrics): void;
  /** Appends a line to samples.jsonl. */
  keep(sample: WrittenSample): void;
  close(): void;
}

/** Of a run that has not taken a step. */
const kBefore = ["run.json", kLockName];

const recordFile = (dir: string): string => path.join(dir, "run.json");
export const metricsFile = (dir: string): string => path.join(dir, "metrics.jsonl");
export const samplesFile = (dir: string): string => path.join(dir, "samples.jsonl");
const checkpointsIn = (dir: string): string => path.join(dir, "checkpoints");
const newestStep = async (dir: string): Promise<number> =>
  (await checkpointSteps(checkpointsIn(dir))).at(-1) ?? 0;

/** What run.json says; undefined without one. Throws FormatError for one that is broken. */
export async function readRunRecord(dir: string): Promise<RunRecord | undefined> {
  const file = recordFile(dir);
  const text = await readTextIfThere(file);
  if (text === undefined) return undefined;
  const record = parseJson(text, file);
  if (!isObject(record) || !isObject(record.settings) || typeof record.command !== "string")
    throw new FormatError(`resume: ${file} is no record of a run`, file);
  return record as unknown as RunRecord;
}

/**
 * Throws ConfigError unless a run of `steps` can begin in `dir`, or with `resume` go on there. A run.json alone is no run:
 * it failed before its first step.
 */
export async function checkRunFolder(
  command: string,
  dir: string,
  { resume, steps }: { resume: boolean; steps: number },
): Promise<void> {
  const names = await namesIn(dir);
  if (names.every((name) => kBefore.includes(name))) return;
  if (!names.includes("run.json")) return requireFreshFolder(command, dir);
  if (!resume) {
    throw new ConfigError(
      `${command}: ${dir} holds an earlier run. Go on with it by --resume, or take another folder`,
      "out",
    );
  }
  const done = await newestStep(dir);
  if (done > steps) {
    throw new ConfigError(
      `${command}: steps is ${steps}, the run in ${dir} has done ${done} already. Give as many, or more`,
      "steps",
    );
  }
}

/**
 * Begins a run in a folder that checkRunFolder accepts, or goes on with the one that is there: lines of metrics.jsonl and
 * samples.jsonl after the newest checkpoint's step are cut off. Throws ConfigError for settings that differ from the first start's, other than
 * those named in `free`.
 */
export async function openRunFolder(
  dir: string,
  record: RunRecord,
  free: readonly string[],
): Promise<RunFolder> {
  const before = await readRunRecord(dir);
  const step = await newestStep(dir);
  if (before) {
    if (!(await namesIn(dir)).every((name) => kBefore.includes(name))) checkSame(dir, before, record, free);
    for (const file of [metricsFile(dir), samplesFile(dir)]) await cutLines(file, step);
  }
  await writeFileAtomically(recordFile(dir), async (handle) => {
    await handle.writeFile(`${JSON.stringify(record, null, 2)}\n`);
  });
  let metrics: JsonlWriter | undefined;
  let samples: JsonlWriter | undefined;
  return {
    dir,
    checkpoints: checkpointsIn(dir),
    log: (m) => {
      metrics ??= openJsonlWriter(metricsFile(dir));
      metrics.append(m);
    },
    keep: (sample) => {
      samples ??= openJsonlWriter(samplesFile(dir));
      samples.append(sample);
    },
    close: () => {
      metrics?.close();
      samples?.close();
    },
  };
}

function checkSame(dir: string, before: RunRecord, now: RunRecord, free: readonly string[]): void {
  if (before.command !== now.command) {
    throw new ConfigError(
      `${now.command}: ${dir} holds a run of ${before.command}. Take another folder`,
      "out",
    );
  }
  for (const key of Object.keys({ ...before.settings, ...now.settings })) {
    const [was, is] = [before, now].map(({ settings }) => JSON.stringify(settings[key] ?? null));
    if (was === is || free.includes(key)) continue;
    throw new ConfigError(
      `${now.command}: ${key} is ${is}, the run in ${dir} was started with ${was}. Take another folder`,
      key,
    );
  }
  if (before.dataSha256 !== undefined && before.dataSha256 !== now.dataSha256) {
    throw new ConfigError(
      `${now.command}: the content of ${[now.settings.data ?? "the data"].flat().join(", ")} is not what it was when the run in ${dir} was started. ` +
        "Bring it back, or take another folder",
      "data",
    );
  }
}

/** Keeps the lines up to `step`: those of a run that was killed may go further than its checkpoint, and end in half a line. */
async function cutLines(file: string, step: number): Promise<void> {
  const text = await readTextIfThere(file);
  if (text === undefined) return;
  const whole = text.split("\n").slice(0, -1);
  const kept = whole.filter((line) => (JSON.parse(line) as { step: number }).step <= step);
  await writeFileAtomically(file, async (handle) => {
    await handle.writeFile(kept.map((line) => `${line}\n`).join(""));
  });
}
