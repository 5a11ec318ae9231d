import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";
import { type CudaDevices, cudaBuild, isFileAtFault, packageRoot, probe, whyNoDriver } from "./cuda_probe.ts";
import { DeviceError } from "./errors.ts";

/** One function per op: (device, ...operands). Tensors are integer handles, 0 = not given. */
export type OpFunction = (device: number, ...operands: (number | boolean | number[])[]) => void;

/** The addon's exports; native/binding/module.cc is the other side. */
export interface Binding {
  open(options: {
    /** Which CUDA device; -1: the CPU. */
    cuda: number;
    threads: number;
    limitBytes: number;
    isa: string;
    sync: boolean;
    finite: boolean;
    trace: boolean;
    guard: boolean;
  }): number;
  close(device: number): void;
  alloc(device: number, dtype: number, rank: number, d0: number, d1: number, d2: number, d3: number): number;
  view(
    tensor: number,
    offset: number,
    dtype: number,
    rank: number,
    d0: number,
    d1: number,
    d2: number,
    d3: number,
  ): number;
  free(tensor: number): void;
  upload(tensor: number, data: ArrayBufferView, dtype: number): void;
  read(tensor: number): Promise<Float32Array | Int32Array>;
  readRaw(tensor: number, dtype: number): Promise<Uint8Array>;
  fence(device: number): Promise<void>;
  reset(device: number): void;
  setFinite(device: number, on: boolean): void;
  setPath(device: number, path: string): void;
  setStep(device: number, step: number): void;
  stats(device: number): NativeStats;
  usableIsas(): string[];
  cudaDevices(): CudaDevices;
  ops: Record<string, OpFunction>;
  /** Per op a letter for each operand: I tensor read, O tensor written, i/o lists of them, n number. */
  signatures: Record<string, string>;
  text: TextBinding;
}

/** The text kernels (native/binding/text.cc): synchronous, no device, on any thread. */
export interface TextBinding {
  /** Whether this process has the table of characters, which the others but `hash` and `permuteMin` need. */
  hasCharacters(): boolean;
  setCharacters(rows: Uint32Array, pool: Uint8Array): void;
  normalize(text: string): string;
  words(text: string, splitting: string): string[];
  hash(text: string, name: string, bits: number): bigint;
  shingleHashes(text: string, ngram: number, hash: string, bits: number, splitting: string): BigUint64Array;
  /** Null if there are fewer words than a shingle has. */
  signature(
    text: string,
    ngram: number,
    hash: string,
    bits: number,
    splitting: string,
    a: BigUint64Array,
    b: BigUint64Array,
  ): BigUint64Array | null;
  permuteMin(
    hashes: BigUint64Array,
    bits: number,
    a: BigUint64Array,
    b: BigUint64Array,
    isa: string,
  ): BigUint64Array;
}

export interface NativeStats {
  live: number;
  bytes: number;
  peakBytes: number;
  spareBytes: number;
  queued: number;
  commands: number;
  blockedMs: number;
  threads: number;
  isa: string;
  poisoned: boolean;
}

const prebuilt = `prebuilds/${process.platform}-${process.arch}`;

/** Where the CPU engine may lie, best first: a local build wins over the prebuilt binary of the package. */
export const enginePaths = (root = packageRoot): string[] => [
  path.join(root, "build/Release/mixwright.node"),
  path.join(root, prebuilt, "mixwright.node"),
];

/** The same for the CUDA engine. It computes on the CPU as well: a process loads one engine. */
export const cudaEnginePaths = (root = packageRoot): string[] => [
  path.join(root, "build-cuda/Release/mixwright_cuda.node"),
  path.join(root, prebuilt, "mixwright_cuda.node"),
];

export interface Engine {
  binding: Binding;
  file: string;
}

/** Loads the first engine that works. Throws DeviceError with every path tried and why it failed. */
export function loadEngine(paths: readonly string[], build = cpuBuild): Engine {
  const require = createRequire(import.meta.url);
  const tried: string[] = [];
  for (const file of paths) {
    try {
      const binding = require(file) as Partial<Binding> | null;
      if (binding?.usableIsas && binding.cudaDevices) return { binding: binding as Binding, file };
      tried.push(`  ${file}: loads, and is no engine of mixwright`);
    } catch (error) {
      tried.push(`  ${file}: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  const older = tried.some((line) => line.includes("GLIBC_")) ? `${glibcNeeded}\n` : "";
  throw new DeviceError(
    `mixwright: no native engine loads on ${process.platform}-${process.arch}, Node ${process.version}. Tried\n` +
      `${tried.join("\n")}\n${older}${build}`,
  );
}
const glibcNeeded =
  "The prebuilt binaries need glibc 2.34 or newer: Ubuntu 22.04, Debian 12, RHEL 9; ldd --version says what is here";
const cpuBuild = `Build it (a C++17 compiler is needed): npm install --no-save node-gyp node-addon-api && npx node-gyp rebuild --directory ${packageRoot}`;

/** Which engine this process uses, and why it isn't the one with CUDA; empty if it is, or if that one has to say. */
export interface Choice {
  paths: string[];
  whyNoCuda: string;
  /** CUDA engines, best first, one of which comes before `paths` if a trial finds a device with it. */
  untried: string[];
}

/**
 * The CPU engine, with the CUDA engines to be tried before, where there are some and the driver seems to be there.
 * MIXWRIGHT_ENGINE chooses instead: "cpu", "cuda" (without a trial), or a file.
 */
export function chooseEngine(
  wanted: string | undefined,
  { root = packageRoot, noDriver = whyNoDriver } = {},
): Choice {
  const choose = (paths: string[], whyNoCuda = "", untried: string[] = []) => ({ paths, whyNoCuda, untried });
  if (wanted === "cuda") return choose(cudaEnginePaths(root));
  if (wanted === "cpu") return choose(enginePaths(root), "MIXWRIGHT_ENGINE is cpu");
  if (wanted) return choose([path.resolve(wanted)]);
  const built = cudaEnginePaths(root).filter((file) => existsSync(file));
  const reason = built.length === 0 ? "no CUDA engine is built" : noDriver();
  return choose(enginePaths(root), reason, reason === "" ? built : []);
}

/** The choice when a process of its own has tried the CUDA engines: the first that finds a device. */
export async function tryCuda({ paths, untried, ...choice }: Choice, ask = probe): Promise<Choice> {
  let { whyNoCuda } = choice;
  for (const file of untried) {
    whyNoCuda = await ask(file);
    if (whyNoCuda === "") return { paths: [file, ...paths], whyNoCuda, untried: [] };
    if (!isFileAtFault(whyNoCuda)) break;
  }
  return { paths, whyNoCuda, untried: [] };
}

/** Under this name the workers of a process find what was chosen and loaded before they began. */
const choiceKey = "mixwright:engine";

let chosen: Choice | undefined;
let loaded: Engine | undefined;
let trial: Promise<void> | undefined;

function choice(): Choice {
  chosen ??=
    (getEnvironmentData(choiceKey) as Choice | undefined) ?? chooseEngine(process.env.MIXWRIGHT_ENGINE);
  return chosen;
}

/**
 * To be awaited before a device is opened: where one on CUDA would do, its engine is tried; a trial that runs is waited for.
 * A process loads one engine: when "cpu" came first, without a trial, it keeps to the CPU engine.
 */
export async function readyEngine(cudaWanted: boolean): Promise<void> {
  if (cudaWanted && choice().untried.length > 0) trial ??= settle();
  await trial;
}

async function settle(): Promise<void> {
  const tried = await tryCuda(choice());
  if (getEnvironmentData(choiceKey) === undefined) {
    chosen = tried;
    return;
  }
  const late = 'device("cpu") came first, for which this process has loaded its one engine, that of the CPU';
  chosen = { ...choice(), whyNoCuda: tried.whyNoCuda || late, untried: [] };
  setEnvironmentData(choiceKey, chosen);
}

/** What to do when nothing loads that MIXWRIGHT_ENGINE names. */
function build(wanted: string | undefined): string {
  if (!wanted || wanted === "cpu") return cpuBuild;
  const needed =
    wanted === "cuda"
      ? `that needs a CUDA engine: ${cudaBuild}`
      : '"cpu", "cuda" or the file of an engine was needed';
  return `MIXWRIGHT_ENGINE is "${wanted}", ${needed}. Unset it, and the best engine that works here is taken`;
}

function engine(): Engine {
  if (loaded !== undefined) return loaded;
  loaded = loadEngine(choice().paths, build(process.env.MIXWRIGHT_ENGINE));
  chosen = { ...choice(), paths: [loaded.file] };
  setEnvironmentData(choiceKey, chosen);
  return loaded;
}

/** The native engine, loaded at first use: the one that chooseEngine names. */
export const native = (): Binding => engine().binding;

/** The file the engine was loaded from. */
export const engineFile = (): string => engine().file;

/** The CUDA devices, or why there are none. */
export function cudaDevices(): CudaDevices {
  const found = engine().binding.cudaDevices();
  const { whyNoCuda } = choice();
  if (whyNoCuda !== "") return { ...found, reason: whyNoCuda };
  const noDriver = found.reason.includes("driver's library") ? whyNoDriver() : "";
  return noDriver === "" ? found : { ...found, reason: noDriver };
}

/** The CUDA engine that is built, loaded or not. */
export function cudaEngineFile(): string | undefined {
  const { binding, file } = engine();
  return binding.cudaDevices().built ? file : cudaEnginePaths().find((candidate) => existsSync(candidate));
}
