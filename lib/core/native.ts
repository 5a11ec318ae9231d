import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";
import { type CudaDevices, probe, whyNoDriver } from "./cuda_probe.ts";
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

/** The package's own folder, seen from lib/core or dist/core. */
const packageRoot = path.resolve(import.meta.dirname, "../..");

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
      return { binding: require(file) as Binding, file };
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
const cudaBuild = `Build it (nvcc 13 and cmake are needed): npm run build:cuda in ${packageRoot}`;

/** Which engine this process uses, and why it isn't the one with CUDA; empty if it is, or if that one has to say. */
export interface Choice {
  paths: string[];
  whyNoCuda: string;
}

/**
 * The CUDA engine where one is built, the driver seems to be there, and a process of its own has found a device with it;
 * else the CPU engine. MIXWRIGHT_ENGINE chooses instead: "cpu", "cuda" (without a trial), or a file.
 */
export function chooseEngine(
  wanted: string | undefined,
  { root = packageRoot, noDriver = whyNoDriver, ask = probe } = {},
): Choice {
  if (wanted === "cuda") return { paths: cudaEnginePaths(root), whyNoCuda: "" };
  const cpu = (whyNoCuda: string): Choice => ({ paths: enginePaths(root), whyNoCuda });
  if (wanted === "cpu") return cpu("MIXWRIGHT_ENGINE is cpu");
  if (wanted) return { paths: [path.resolve(wanted)], whyNoCuda: "" };
  const file = cudaEnginePaths(root).find((candidate) => existsSync(candidate));
  if (file === undefined) return cpu("no CUDA engine is built");
  const reason = noDriver() || ask(file);
  return reason === "" ? { paths: [file, ...enginePaths(root)], whyNoCuda: "" } : cpu(reason);
}

/** Under this name the workers of a process find what was chosen before they began. */
const choiceKey = "mixwright:engine";

let loaded: (Engine & { whyNoCuda: string }) | undefined;

function engine(): Engine & { whyNoCuda: string } {
  if (loaded !== undefined) return loaded;
  const wanted = process.env.MIXWRIGHT_ENGINE;
  const choice = (getEnvironmentData(choiceKey) as Choice | undefined) ?? chooseEngine(wanted);
  const { binding, file } = loadEngine(choice.paths, wanted === "cuda" ? cudaBuild : cpuBuild);
  setEnvironmentData(choiceKey, { ...choice, paths: [file] });
  loaded = { binding, file, whyNoCuda: choice.whyNoCuda };
  return loaded;
}

/** The native engine, loaded at first use: the one that chooseEngine names. */
export const native = (): Binding => engine().binding;

/** The file the engine was loaded from. */
export const engineFile = (): string => engine().file;

/** The CUDA devices, or why there are none. */
export function cudaDevices(): CudaDevices {
  const { binding, whyNoCuda } = engine();
  const found = binding.cudaDevices();
  return whyNoCuda === "" ? found : { ...found, reason: whyNoCuda };
}

/** The CUDA engine that is built, loaded or not. */
export function cudaEngineFile(): string | undefined {
  const { binding, file } = engine();
  return binding.cudaDevices().built ? file : cudaEnginePaths().find((candidate) => existsSync(candidate));
}
