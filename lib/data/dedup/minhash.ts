import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { ConfigError } from "../../core/errors.ts";
import { checkOneOf, checkWhole, refuseUnknown } from "../../core/options.ts";
import { writeFileAtomically } from "../../io/atomic.ts";
import { parseJson } from "../../io/json.ts";
import { takeLock } from "../../io/lock_file.ts";
import { type Input, jsonlFiles } from "../readers/input_files.ts";
import { refuseInputs } from "../task_outputs.ts";
import type { Keep } from "./minhash_stages/clusters.ts";
import { readDone } from "./minhash_stages/layout.ts";
import type { MinhashTask } from "./minhash_stages/task.ts";
import { workerPool } from "./minhash_stages/worker_pool.ts";
import {
  type SignatureOptions,
  type SignatureSettings,
  signatureKeys,
  signatureSettings,
} from "./signature_options.ts";

export interface MinhashOptions extends SignatureOptions {
  /** Files of documents (see jsonlFiles). Their order decides which document is the first. */
  readonly input: Input;
  /** A folder: 00000.jsonl.gz … of kept documents, and below it `removed` and `matches`, a file for each input file. */
  readonly output: string;
  /** What stays of a cluster: its first document (the default), the one of the highest `score`, or nothing. */
  readonly keep?: Keep;
  /** With `keep: "best"`: a number in each document's metadata. Among equals the first stays. */
  readonly score?: string;
  /** Folders of texts that are known already: `signatures` of an earlier run, or an index made by datatrove. */
  readonly index?: readonly string[];
  /** Memory for the signatures of one file; what is more is sorted on disk. Default: 256 MiB. */
  readonly memoryBytes?: number;
}

const stages = ["signatures", "buckets", "clusters", "filter"] as const;
export type MinhashStage = (typeof stages)[number];

export interface MinhashRunOptions {
  /** Threads. What comes out doesn't depend on them. Default: as many as there are processors. */
  readonly workers?: number;
  /** The folder of what stages leave to one another; a run that was stopped goes on there. Default: `state` in `output`. */
  readonly state?: string;
  /** Stages to run, where the files of the others are there, made by us or by datatrove. Default: all. */
  readonly stages?: readonly MinhashStage[];
  readonly signal?: AbortSignal;
  /** Called when a stage begins, and when one of its tasks is through. */
  readonly onProgress?: (progress: MinhashProgress) => void;
}

export interface MinhashProgress {
  readonly stage: MinhashStage;
  /** Tasks that are through, of how many. */
  readonly done: number;
  readonly tasks: number;
}

/** Counts of documents, as of a pipeline's run. */
export interface DedupReport {
  readonly read: number;
  readonly kept: number;
  readonly dropped: Readonly<Record<string, number>>;
}

const optionKeys = [...signatureKeys, "input", "output", "keep", "score", "index", "memoryBytes"];
const kWhere = "dedup.minhash";

/** Near-duplicates by MinHash, in four stages with files between them in datatrove's layout (see minhash_stages/layout.ts). */
export function minhash(options: MinhashOptions): { run(run?: MinhashRunOptions): Promise<DedupReport> } {
  refuseUnknown(kWhere, options, optionKeys);
  const settings = signatureSettings(kWhere, options);
  const { keep = "one", score, index = [], memoryBytes = 2 ** 28 } = options;
  checkOneOf(kWhere, "keep", keep, ["one", "best", "none"]);
  checkWhole(kWhere, { memoryBytes }, 1);
  if ((keep === "best") !== (score !== undefined))
    throw new ConfigError(
      `${kWhere}: keep is "${keep}", score is ${JSON.stringify(score)}; both or none of keep "best" and score were needed`,
      "score",
    );
  const { input, output } = options;
  return { run: (run = {}) => runStages({ input, output, settings, keep, score, index, memoryBytes }, run) };
}

interface Settings {
  readonly input: Input;
  readonly output: string;
  readonly settings: SignatureSettings;
  readonly keep: Keep;
  readonly score: string | undefined;
  readonly index: readonly string[];
  readonly memoryBytes: number;
}

async function runStages(
  { input, output, settings, keep, score, index, memoryBytes }: Settings,
  run: MinhashRunOptions,
): Promise<DedupReport> {
  refuseUnknown(`${kWhere}.run`, run, ["workers", "state", "stages", "signal", "onProgress"]);
  const { workers = availableParallelism(), state = path.join(output, "state"), signal, onProgress } = run;
  checkWhole(`${kWhere}.run`, { workers }, 1);
  const wanted = run.stages ?? stages;
  for (const stage of wanted) checkOneOf(`${kWhere}.run`, "stages", stage, stages);
  const inputs = await jsonlFiles(kWhere, input);
  refuseInputs(kWhere, [output], inputs);
  const { buckets } = settings;
  const files = inputs.map((_, file) => file);
  const [signatures, pairs, clusters, filter] = stages.map((stage) => path.join(state, stage)) as [
    string,
    string,
    string,
    string,
  ];
  const tasks: Record<MinhashStage, () => MinhashTask[]> = {
    signatures: () =>
      files.map((file) => ({
        stage: "signatures",
        file,
        input: inputs[file]!,
        folder: signatures,
        settings,
        memoryBytes,
        score,
      })),
    buckets: () =>
      Array.from({ length: buckets }, (_, bucket) => ({
        stage: "buckets",
        bucket,
        files: files.length,
        signatures,
        index,
        folder: pairs,
        settings,
      })),
    clusters: () => [
      { stage: "clusters", buckets, files: files.length, pairs, signatures, folder: clusters, keep },
    ],
    filter: () =>
      files.map((file) => ({
        stage: "filter",
        file,
        inputs,
        clusters,
        pairs,
        buckets,
        index,
        output,
        folder: filter,
      })),
  };
  const unlock = await lockState(state);
  const pool = workerPool(workers, signal);
  try {
    await sameRun(state, {
      settings,
      keep,
      score,
      index,
      output: path.resolve(output),
      inputs: described(inputs),
    });
    removeLeftovers(state, output);
    for (const stage of stages) {
      if (!wanted.includes(stage)) continue;
      const all = tasks[stage]();
      const report = (done: number) => onProgress?.({ stage, done, tasks: all.length });
      let done = 0;
      report(done);
      await pool.run(all, () => report(++done));
    }
  } finally {
    await pool.close();
    await unlock();
  }
  return wanted.includes("filter") ? report(filter, files) : { read: 0, kept: 0, dropped: {} };
}

const described = (inputs: readonly string[]) =>
  inputs.map((file) => ({ file: path.resolve(file), bytes: statSync(file).size }));

/** Keeps what a state folder was made with. @throws ConfigError naming what another run would change. */
async function sameRun(state: string, asked: Readonly<Record<string, unknown>>): Promise<void> {
  const file = path.join(state, "run.json");
  if (!existsSync(file)) {
    return writeFileAtomically(file, (handle) => handle.writeFile(`${JSON.stringify(asked, null, 2)}\n`));
  }
  const made = parseJson(readFileSync(file, "utf8"), file) as Record<string, unknown>;
  for (const key of Object.keys(asked)) {
    if (JSON.stringify(made[key]) === JSON.stringify(asked[key])) continue;
    const short = (value: unknown) => `${JSON.stringify(value)}`.slice(0, 200);
    throw new ConfigError(
      `${kWhere}: ${state} was begun with ${key} ${short(made[key])}, now it is ${short(asked[key])}. Take another state folder`,
      key,
    );
  }
}

/** Keeps other processes off. @throws ConfigError while one is there. */
async function lockState(state: string): Promise<() => Promise<void>> {
  const file = path.join(state, "run.lock");
  const lock = await takeLock(file);
  if ("release" in lock) return lock.release;
  throw new ConfigError(
    `${kWhere}: ${lock.holder} is at work in ${state}. Wait for its end (if it is no run of mixwright, delete ${file})`,
    "state",
  );
}

/** Files that a stopped run had not finished. */
function removeLeftovers(state: string, output: string): void {
  const folders = [output, path.join(output, "removed"), path.join(output, "matches")];
  const inState = existsSync(state) ? readdirSync(state, { recursive: true, encoding: "utf8" }) : [];
  const all = [
    ...inState.map((name) => path.join(state, name)),
    ...folders
      .filter((dir) => existsSync(dir))
      .flatMap((dir) => readdirSync(dir).map((name) => path.join(dir, name))),
  ];
  for (const file of all) if (/\.tmp-\d+-\d+$/.test(file)) rmSync(file, { force: true });
}

function report(folder: string, files: readonly number[]): DedupReport {
  let read = 0;
  let removed = 0;
  for (const file of files) {
    const { counts } = readDone(folder, file)!;
    read += counts.read!;
    removed += counts.removed!;
  }
  return { read, kept: read - removed, dropped: removed > 0 ? { duplicate: removed } : {} };
}
