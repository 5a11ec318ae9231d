import { availableParallelism, totalmem } from "node:os";
import { isFault, wayOut } from "./cuda_probe.ts";
import { bytesOf, type DType, describe, dtypeCode, type SourceDType, sizeOf } from "./dtype.ts";
import { ConfigError, DeviceError, DisposedError, OutOfMemoryError, ShapeError } from "./errors.ts";
import { cudaDevices, type NativeStats, native, readyEngine } from "./native.ts";
import { refuseUnknown } from "./options.ts";
import { keep } from "./scope.ts";
import { Tensor } from "./tensor.ts";

export interface DeviceOptions {
  /** Threads that kernels run on. Default: the processors this process may use. */
  threads?: number;
  /** Bytes of tensors that may be live at once. Default: the machine's memory, nine tenths of a GPU's. */
  memoryLimitBytes?: number;
  /** Instruction set of the CPU kernels ("avx512", "avx2", "baseline": SSE2 or NEON). Default: the best the processor runs. */
  isa?: string;
  /** Debug modes; the environment variable MIXWRIGHT_DEBUG (a comma list) adds to them. */
  debug?: readonly DebugMode[];
}

/**
 * sync: run each command inline · finite: check every output and name the first bad op · trace: write a timeline when the
 * device closes · guard: fill fresh memory with NaN and check that no kernel writes past its output
 */
export type DebugMode = "sync" | "finite" | "trace" | "guard";
const debugModes: readonly string[] = ["sync", "finite", "trace", "guard"];

interface NativeFailure extends Error {
  code?: string;
  op?: string;
  path?: string;
  step?: number;
  bytes?: number;
  liveBytes?: number;
  largestShape?: number[];
  largestDtype?: DType;
}

/** An in-order stream of commands with memory of its own (house.md §4). */
export class Device {
  readonly #handle: number;
  #open = true;
  #path = "";
  #toldPath = "";
  #fences: Promise<void>[] = [];

  /** @internal Use `device()`. */
  constructor(
    readonly name: string,
    private readonly limitBytes: number,
    options: { cuda: number; threads: number; isa: string; modes: ReadonlySet<string> },
  ) {
    const { modes } = options;
    try {
      this.#handle = native().open({
        cuda: options.cuda,
        threads: options.threads,
        limitBytes,
        isa: options.isa,
        sync: modes.has("sync"),
        finite: modes.has("finite"),
        trace: modes.has("trace"),
        guard: modes.has("guard"),
      });
      if (options.cuda >= 0) openDevices.add(this);
    } catch (error) {
      if (error instanceof DeviceError) throw error; // no engine loads
      throw new DeviceError(`device: ${(error as Error).message}`);
    }
  }

  /** @internal The native handle, for a call that is made now: the engine knows the module path. Throws DisposedError. */
  get handle(): number {
    this.needOpen();
    if (this.#path !== this.#toldPath) {
      native().setPath(this.#handle, this.#path);
      this.#toldPath = this.#path;
    }
    return this.#handle;
  }

  get open(): boolean {
    return this.#open;
  }

  /** Copies `data` into a new tensor, at once. dtype: from the array (Int32Array → i32, else f32), or as asked. */
  tensor(
    data: ArrayBufferView | readonly number[],
    shape: readonly number[],
    options: { dtype?: DType; from?: SourceDType } = {},
  ): Tensor {
    const array = Array.isArray(data)
      ? options.dtype === "i32"
        ? Int32Array.from(data)
        : Float32Array.from(data)
      : (data as ArrayBufferView);
    const from = options.from ?? sourceOf(array, options.dtype);
    const dtype = options.dtype ?? (from === "f16" ? "f32" : from);
    const given = array.byteLength / bytesOf[from];
    if (given !== sizeOf(shape)) {
      throw new ShapeError(`tensor: ${given} values, [${shape.join(", ")}] needs ${sizeOf(shape)}`, "tensor");
    }
    if ((dtype === "i32") !== (from === "i32")) {
      throw new ConfigError(
        `tensor: ${from} values for a tensor of ${dtype}, one kind of number was needed`,
        "dtype",
      );
    }
    const tensor = this.empty(shape, dtype);
    tensor.write(array, from);
    return tensor;
  }

  /** A new tensor whose content is whatever was there. Throws OutOfMemoryError. */
  empty(shape: readonly number[], dtype: DType = "f32"): Tensor {
    if (shape.length > 4 || shape.some((n) => !Number.isSafeInteger(n) || n < 0)) {
      throw new ShapeError(
        `tensor: shape [${shape.join(", ")}], needed at most 4 whole numbers from 0`,
        "tensor",
      );
    }
    try {
      const [a = 1, b = 1, c = 1, d = 1] = shape;
      return new Tensor(
        this,
        shape,
        dtype,
        native().alloc(this.handle, dtypeCode[dtype], shape.length, a, b, c, d),
      );
    } catch (error) {
      const failure = error as NativeFailure;
      if (failure.code !== "OUT_OF_MEMORY") throw this.translate(failure);
      const { largestShape = [], largestDtype = "f32" } = failure;
      const largest =
        failure.liveBytes === 0
          ? ""
          : ` (${describe(largestShape, largestDtype)} takes ${sizeOf(largestShape) * bytesOf[largestDtype]} of them)`;
      throw new OutOfMemoryError(
        `tensor: ${describe(shape, dtype)} takes ${failure.bytes} bytes while ${failure.liveBytes} are live${largest}` +
          `${this.#path && ` at ${this.#path}`}, the limit is ${this.limitBytes} (${failure.message}).` +
          " Fewer tokens a batch, recompute, or a larger memoryLimitBytes helps",
        failure.bytes,
        failure.liveBytes,
      );
    }
  }

  /** A tensor of zeros (or of `value`). */
  full(shape: readonly number[], value = 0, dtype: DType = "f32"): Tensor {
    const tensor = this.empty(shape, dtype);
    this.guard((handle) => native().ops.fill!(handle, tensor.id, value));
    return tensor;
  }

  /** `live` tensors, `bytes` they take and the peak of it, `queued` commands, `blockedMs` spent on a full queue, … */
  stats(): NativeStats {
    return native().stats(this.handle);
  }

  /**
   * Resolves when the commands enqueued before this call have run; with `behind: n`, when those before the n-th last call
   * have. The polite bound of run-ahead in a loop.
   */
  async ready({ behind = 0 } = {}): Promise<void> {
    const fence = this.wait(native().fence(this.handle));
    fence.catch(() => undefined); // it is awaited by a later call, or never; a failure is reported by the next enqueue too
    this.#fences.push(fence);
    while (this.#fences.length > behind + 1) this.#fences.shift();
    if (this.#fences.length === behind + 1) await this.#fences.shift();
  }

  /** Runs `fn` with `name` added to the module path that errors and traces of its commands carry. */
  at<T>(name: string, fn: () => T): T {
    return this.atPath(this.#path === "" ? name : `${this.#path}.${name}`, fn);
  }

  /** @internal Runs `fn` with this module path in place of the one that holds now. */
  atPath<T>(path: string, fn: () => T): T {
    this.needOpen();
    const before = this.#path;
    this.#path = path;
    try {
      return fn();
    } finally {
      this.#path = before;
    }
  }

  /** @internal The module path of commands enqueued now. */
  get path(): string {
    return this.#path;
  }

  /** The training step that errors and traces of later commands carry. */
  set step(step: number) {
    native().setStep(this.handle, step);
  }

  /** Forgets the failure that poisons the stream, once the queue is empty. Tensors keep what they held. */
  reset(): void {
    native().reset(this.handle);
    this.#fences = [];
  }

  /** Checks the outputs of commands enqueued from now on, and fails at the first that isn't finite: debug mode `finite`. */
  checkFinite(on: boolean): void {
    native().setFinite(this.handle, on);
  }

  /** Ends the stream. Its tensors can't be used any more. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    openDevices.delete(this);
    native().close(this.#handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  needOpen(): void {
    if (!this.#open)
      throw new DisposedError(`device: ${this.name} was closed, an open one was needed`, this.name);
  }

  /** @internal Runs a native call and gives its failure our words. */
  guard<T>(call: (device: number) => T): T {
    try {
      return call(this.handle);
    } catch (error) {
      throw this.translate(error as NativeFailure);
    }
  }

  /** @internal The same for a promise. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    try {
      const value = await promise;
      await giveWay();
      return value;
    } catch (error) {
      throw this.translate(error as NativeFailure);
    }
  }

  /** @internal A native failure in our words. */
  translate(failure: NativeFailure): Error {
    if (failure.code !== "STREAM_FAILED") return failure;
    const { op = "", path = "", step = -1 } = failure;
    const where = `${path ? ` at ${path}` : ""}${step >= 0 ? `, step ${step}` : ""}`;
    return new DeviceError(
      `${op}${where}: ${failure.message}. The device skips all later commands until reset()`,
      op,
      path,
      step,
    );
  }
}

/** Of a GPU's memory, what tensors may take unless told otherwise: the driver, code and kernels' own memory need the rest. */
const tensorShare = 0.9;
/** That, of the GPU with this number. */
export const cudaMemoryBytes = (cuda: number): number =>
  Math.floor(cudaDevices().devices[cuda]!.bytes * tensorShare);

/** CUDA devices that are open: their streams end before the process does, while the driver still works. */
const openDevices = new Set<Device>();
process.once("exit", () => {
  for (const one of openDevices) one.close();
});

/** How long reads may follow each other before timers and sockets get their turn. */
const kTurnMs = 2;
let turnMs = 0;

/**
 * Reads that settle as fast as they are awaited would keep Node in one phase of its event loop, up to a thousand in a row:
 * every few milliseconds one of them waits for the next round.
 */
async function giveWay(): Promise<void> {
  if (performance.now() - turnMs < kTurnMs) return;
  await new Promise((resolve) => setImmediate(resolve));
  turnMs = performance.now();
}

function sourceOf(array: ArrayBufferView, wanted: DType | undefined): SourceDType {
  if (array instanceof Float32Array) return "f32";
  if (array instanceof Int32Array) return "i32";
  if (array instanceof Uint16Array && wanted === "bf16") return "bf16";
  throw new ConfigError(
    `tensor: the data is a ${array.constructor.name}, needed Float32Array, Int32Array, or { from } to say what it holds`,
    "from",
  );
}

/**
 * Opens a device: "cpu", "cuda", "cuda:1", or "auto" for the best there is. Each call opens a stream of its own; close it
 * when done. Throws ConfigError for an unknown name or option, DeviceError for a device this machine or build lacks.
 *
 * A process computes with one engine, which the first device decides. If that is "cpu", CUDA isn't looked for: later "cuda" is
 * refused, and "auto" is the CPU, with a warning where a GPU would have been there. Open "cuda" or "auto" first to have both.
 */
export async function device(name = "auto", options: DeviceOptions = {}): Promise<Device> {
  if (!/^(cpu|auto|cuda(:\d+)?)$/.test(name)) {
    throw new ConfigError(`device: name "${name}", needed "cpu", "cuda", "cuda:1" or "auto"`, "device");
  }
  await readyEngine(name !== "cpu");
  const cuda = cudaDevice(name);
  refuseUnknown("device", options, ["threads", "memoryLimitBytes", "isa", "debug"]);
  const { threads = availableParallelism(), isa = "", debug = [] } = options;
  const { memoryLimitBytes = cuda < 0 ? totalmem() : cudaMemoryBytes(cuda) } = options;
  if (!Number.isInteger(threads) || threads < 1 || threads > 1024) {
    throw new ConfigError(
      `device: threads is ${threads}, a whole number from 1 to 1024 was needed`,
      "threads",
    );
  }
  if (!(memoryLimitBytes >= 1 && memoryLimitBytes <= Number.MAX_SAFE_INTEGER)) {
    throw new ConfigError(
      `device: memoryLimitBytes is ${memoryLimitBytes}, a number of bytes from 1 to 2^53 was needed`,
      "memoryLimitBytes",
    );
  }
  const isas = native().usableIsas();
  if (isa !== "" && !isas.includes(isa)) {
    throw new ConfigError(
      `device: instruction set "${isa}" is not usable here; usable are ${isas.join(", ")}`,
      "isa",
    );
  }
  const modes = new Set<string>([
    ...debug,
    ...(process.env.MIXWRIGHT_DEBUG ?? "").split(",").filter(Boolean),
  ]);
  for (const mode of modes) {
    if (!debugModes.includes(mode)) {
      throw new ConfigError(
        `device: debug mode "${mode}", known are ${debugModes.join(", ")}`,
        "MIXWRIGHT_DEBUG",
      );
    }
  }
  return new Device(cuda < 0 ? "cpu" : `cuda:${cuda}`, memoryLimitBytes, { cuda, threads, isa, modes });
}

/** The number of the CUDA device that a name stands for, -1 for the CPU. Throws DeviceError, with the reason, if it isn't there. */
function cudaDevice(name: string): number {
  if (name === "cpu") return -1;
  const { devices, reason } = cudaDevices();
  if (name === "auto") {
    if (isFault(reason)) warnOnce(`device: "auto" is the CPU, as ${reason}. ${wayOut(reason)}`);
    return devices.findIndex(runsKernels);
  }
  const wanted = Number(name.split(":")[1] ?? 0);
  const found = devices[wanted];
  if (found !== undefined && runsKernels(found)) return wanted;
  const [why, out] =
    found !== undefined
      ? [`${found.name} has compute capability ${found.capability}`, "8.0 or newer was needed"]
      : devices.length > 0
        ? [`the last one is cuda:${devices.length - 1}`, "Ask for one of these"]
        : [reason, wayOut(reason)];
  throw new DeviceError(
    `device: "${name}" was asked for, ${why}. ${out}. "cpu" is always there, "auto" takes the best there is`,
  );
}

let warned = false;
function warnOnce(text: string): void {
  if (!warned) process.emitWarning(text);
  warned = true;
}

/** The kernels are compiled for compute capability 8.0 and what came after it. */
const runsKernels = ({ capability }: { capability: string }): boolean => Number.parseInt(capability, 10) >= 8;

/** Moves a tensor out of the scope that made it and labels it: what a model or an optimizer owns. */
export function owned(tensor: Tensor, label: string): Tensor {
  tensor.label = label;
  return keep(tensor);
}

/** Throws ConfigError unless the options have an open device: a name in its place is the usual slip. */
export function requireDevice(where: string, options: { device: Device } | undefined): void {
  const given: unknown = options?.device;
  if (given instanceof Device) return;
  const what =
    typeof given === "string" ? JSON.stringify(given) : given === undefined ? "missing" : "no device";
  const name = typeof given === "string" ? given : "cpu";
  throw new ConfigError(
    `${where}: device is ${what}, an open one was needed: { device: await device("${name}") }`,
    "device",
  );
}
