import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { ConfigError, FormatError } from "../core/errors.ts";
import { checkWhole, refuseUnknown } from "../core/options.ts";
import type { Tensor } from "../core/tensor.ts";
import { writeFolderAtomically } from "../io/atomic.ts";
import { isObject, parseJson } from "../io/json.ts";
import {
  openSafetensors,
  type TensorEntry,
  type TensorToWrite,
  writeSafetensors,
} from "../io/safetensors.ts";
import type { OptimizerRun } from "../optim/optimizer_run.ts";

/** Where and how often a run saves itself. */
export interface CheckpointOptions {
  dir: string;
  /** Updates between two checkpoints. Default 0: only at the end, and when the run is aborted. */
  every?: number;
  /** Older checkpoints that stay. Default 2, the newest included. */
  keep?: number;
  /** Goes on from the newest checkpoint in `dir`, if there is one. Default false: a checkpoint there is an error. */
  resume?: boolean;
  /**
   * Begins with a checkpoint of another run: its parameters, optimizer state and step count, which schedules and data go
   * on from. Once `dir` has a checkpoint of its own, it counts for nothing.
   */
  from?: Fork;
}

/** A checkpoint of another run. */
export interface Fork {
  /** The folder of its checkpoints. */
  dir: string;
  /** Default: the newest. */
  step?: number;
}

/** Throws ConfigError for options that are unknown or out of range. */
export function checkCheckpointOptions(name: string, options: CheckpointOptions): void {
  refuseUnknown(`${name}, checkpoint`, options, ["dir", "every", "keep", "resume", "from"]);
  const { every = 0, keep = 2, from } = options;
  if (from) {
    refuseUnknown(`${name}, checkpoint, from`, from, ["dir", "step"]);
    if (from.step !== undefined) checkWhole(`${name}, checkpoint, from`, { step: from.step }, 1);
  }
  checkWhole(`${name}, checkpoint`, { every }, 0);
  checkWhole(`${name}, checkpoint`, { keep }, 1);
}

/** Where a run stands, beside its tensors. */
export interface RunState {
  step: number;
  tokens: number;
  /** What the run was asked for: a checkpoint continues only the run it belongs to. */
  fingerprint: Record<string, unknown>;
  /** Numbers that the trainer changes as it goes. */
  numbers?: Record<string, number>;
  /** The lowest loss so far on each validation set. */
  lowest?: Record<string, number>;
}

const folderName = (step: number): string => `step-${String(step).padStart(8, "0")}`;

/** Steps with a whole checkpoint in `dir`, oldest first. Folders appear by a rename, so a half-written one has no such name. */
export async function checkpointSteps(dir: string): Promise<number[]> {
  const names = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [] as string[];
    throw error;
  });
  return names
    .flatMap((name) => (/^step-\d{8}$/.test(name) ? [Number(name.slice(5))] : []))
    .sort((a, b) => a - b);
}

/** Saves parameters and optimizer state, bit for bit, then removes what is too old. */
export async function saveCheckpoint(
  { dir, keep = 2 }: CheckpointOptions,
  state: RunState,
  params: Readonly<Record<string, Tensor>>,
  optimizer: OptimizerRun,
): Promise<void> {
  const target = path.join(dir, folderName(state.step));
  await writeFolderAtomically(target, async (temporary) => {
    const tensors = [...entries("param.", params), ...entries("optimizer.", optimizer.state())];
    await writeSafetensors(path.join(temporary, "state.safetensors"), tensors);
    await writeFile(
      path.join(temporary, "run.json"),
      `${JSON.stringify({ ...state, updates: optimizer.updates, resetAt: optimizer.resetAt }, null, 2)}\n`,
    );
  });
  const steps = await checkpointSteps(dir);
  for (const step of steps.slice(0, Math.max(0, steps.length - keep))) {
    await rm(path.join(dir, folderName(step)), { recursive: true });
  }
  for (const name of await readdir(dir)) {
    if (/^step-\d{8}\.tmp-/.test(name)) await rm(path.join(dir, name), { recursive: true });
  }
}

const entries = (prefix: string, tensors: Readonly<Record<string, Tensor>>): TensorToWrite[] =>
  Object.entries(tensors).map(([name, tensor]) => ({
    name: prefix + name,
    dtype: formatOf(tensor),
    shape: tensor.shape,
    bytes: () => tensor.bytesData(),
  }));

type Params = Readonly<Record<string, Tensor>>;
type Saved = RunState & { updates: number; resetAt?: number };

/**
 * Continues from the newest checkpoint in `dir`, which has one: fills parameters and optimizer and returns where the run
 * stood. Throws FormatError for a broken checkpoint, ConfigError for one of another run: nothing is changed then.
 */
export async function loadCheckpoint(
  { dir }: { dir: string },
  fingerprint: Record<string, unknown>,
  params: Params,
  optimizer: OptimizerRun,
): Promise<RunState> {
  const from = path.join(dir, folderName((await checkpointSteps(dir)).at(-1)!));
  const saved = await readState("resume", from);
  for (const [key, value] of Object.entries(fingerprint)) {
    const before = saved.fingerprint[key];
    if (JSON.stringify(before) !== JSON.stringify(value)) {
      throw new ConfigError(
        `resume: ${from} belongs to a run with ${key} ${JSON.stringify(before)}, this one has ${JSON.stringify(value)}. Start in another folder`,
        key,
      );
    }
  }
  await fill("resume", from, saved, params, optimizer);
  return saved;
}

/**
 * Begins a run with another one's checkpoint. Data, schedule and settings may differ; throws ConfigError where that run had
 * another optimizer, parameters of other names or shapes, or no checkpoint of that step: nothing is changed then.
 */
export async function forkCheckpoint(
  { dir, step }: Fork,
  fingerprint: Record<string, unknown>,
  params: Params,
  optimizer: OptimizerRun,
): Promise<RunState> {
  const from = path.join(dir, folderName(await forkStep({ dir, ...(step !== undefined && { step }) })));
  const saved = await readState("from", from);
  const { optimizer: before } = saved.fingerprint;
  if (before !== fingerprint.optimizer) {
    throw new ConfigError(
      `from: ${from} holds the state of the optimizer ${before}, this run has ${fingerprint.optimizer}. Take the same`,
      "optimizer",
    );
  }
  await fill("from", from, saved, params, optimizer);
  return { ...saved, fingerprint };
}

/** The step that a fork begins with. Throws ConfigError where there is no such checkpoint. */
export async function forkStep({ dir, step }: Fork): Promise<number> {
  const steps = await checkpointSteps(dir);
  const found = step === undefined ? steps.at(-1) : steps.find((there) => there === step);
  if (found !== undefined) return found;
  const what = step === undefined ? "no checkpoint" : `no checkpoint of step ${step}`;
  throw new ConfigError(
    `from: ${dir} holds ${what}${steps.length > 0 ? `; there are ${steps.join(", ")}` : ""}`,
    "from",
  );
}

type How = "resume" | "from";

async function readState(how: How, from: string): Promise<Saved> {
  const file = path.join(from, "run.json");
  const saved = parseJson(await readFile(file, "utf8"), file);
  const numbers = isObject(saved) ? [saved.step, saved.tokens, saved.updates, saved.resetAt ?? 0] : [];
  if (!isObject(saved) || !numbers.every(Number.isSafeInteger) || !isObject(saved.fingerprint)) {
    throw new FormatError(`${how}: ${file} is no run state`, file);
  }
  return saved as unknown as Saved;
}

/** Fills parameters and optimizer from a checkpoint, once all of it is known to fit. */
async function fill(
  how: How,
  from: string,
  { updates, resetAt = 0 }: Saved,
  params: Params,
  optimizer: OptimizerRun,
): Promise<void> {
  const refusal = (message: string): Error =>
    how === "from" ? new ConfigError(message, "from") : new FormatError(message, from);
  const tensors = await openSafetensors(path.join(from, "state.safetensors"));
  try {
    const state: Record<string, Float32Array | Int32Array> = {};
    for (const [name, entry] of tensors.tensors) {
      const param = params[name.slice("param.".length)];
      if (name.startsWith("param.") && param && fits(entry, param)) continue;
      const whole = entry.dtype === "I32"; // moments in 8 bits
      if (!name.startsWith("optimizer.") || !(whole || entry.dtype === "F32")) {
        const shape = entry.shape.join(", ");
        throw refusal(
          `${how}: ${name} ${entry.dtype} [${shape}] fits no parameter of this run${param ? ` (${param})` : ""}`,
        );
      }
      const { buffer } = await tensors.read(name);
      state[name.slice("optimizer.".length)] = whole ? new Int32Array(buffer) : new Float32Array(buffer);
    }
    const missing = Object.keys(params).find((name) => !tensors.tensors.has(`param.${name}`));
    if (missing !== undefined) throw refusal(`${how}: ${from} lacks ${missing}`);
    optimizer.load({ updates, resetAt, tensors: state }); // checks before it writes
    for (const [name, param] of Object.entries(params))
      param.write(await tensors.read(`param.${name}`), param.dtype);
  } finally {
    await tensors.close();
  }
}

const formats = { bf16: "BF16", f32: "F32", i32: "I32" } as const;
const formatOf = ({ dtype }: Tensor) => formats[dtype];

const fits = ({ dtype, shape }: TensorEntry, tensor: Tensor): boolean =>
  dtype === formatOf(tensor) && String(shape) === String(tensor.shape);
