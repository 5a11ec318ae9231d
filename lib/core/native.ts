import { createRequire } from "node:module";
import path from "node:path";
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

export interface CudaDevices {
  /** Does this engine hold CUDA kernels? */
  built: boolean;
  /** Why there is no device; empty if there is one. */
  reason: string;
  devices: { name: string; capability: string; multiprocessors: number; bytes: number }[];
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

/** Where the engine may lie, best first: a local build wins over the prebuilt binary of the package. */
export function enginePaths(root = packageRoot): string[] {
  return [
    path.join(root, "build/Release/mixwright.node"),
    path.join(root, `prebuilds/${process.platform}-${process.arch}/mixwright.node`),
  ];
}

/** Loads the first engine that works. Throws DeviceError with every path tried and why it failed. */
export function loadEngine(paths: readonly string[]): { binding: Binding; file: string } {
  const require = createRequire(import.meta.url);
  const tried: string[] = [];
  for (const file of paths) {
    try {
      return { binding: require(file) as Binding, file };
    } catch (error) {
      tried.push(`  ${file}: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  throw new DeviceError(
    `mixwright: no native engine loads on ${process.platform}-${process.arch}, Node ${process.version}. Tried\n` +
      `${tried.join("\n")}\nBuild it (a C++17 compiler is needed): npm install --no-save node-gyp node-addon-api && npx node-gyp rebuild --directory ${packageRoot}`,
  );
}

let loaded: { binding: Binding; file: string } | undefined;

/** The native engine, loaded at first use: the file that MIXWRIGHT_ENGINE names, or the first of enginePaths that works. */
export function native(): Binding {
  const chosen = process.env.MIXWRIGHT_ENGINE;
  loaded ??= loadEngine(chosen ? [path.resolve(chosen)] : enginePaths());
  return loaded.binding;
}

/** The file the engine was loaded from. */
export function engineFile(): string {
  native();
  return loaded!.file;
}
