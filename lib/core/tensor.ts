import type { Device } from "./device.ts";
import { bytesOf, type DType, describe, dtypeCode, type SourceDType, sizeOf } from "./dtype.ts";
import { DisposedError, ShapeError } from "./errors.ts";
import { native } from "./native.ts";
import { run } from "./run.ts";
import { adopt } from "./scope.ts";
import { record } from "./tape.ts";

const dim = (shape: readonly number[], axis: number): number => shape[axis] ?? 1;

/**
 * A dense row-major array of at most four axes on a device. What JavaScript holds is a handle; the memory comes from the
 * device's pool and goes back with `dispose()` (or `using`), at the moment of the call.
 */
export class Tensor {
  readonly isTensor = true;
  /** The tensor whose memory this one shares; itself, unless made by `view`. Views are flat: a root is never a view. */
  readonly root: Tensor;
  /** Counts changes of the content made in place, so that what was computed from it can be cached. */
  version = 0;
  /** What error messages call it. */
  label = "";
  #id: number;
  #owners = 1;
  #disposed = false;
  #scope: Set<Tensor> | undefined;
  #watched = false;

  /** @internal Use `device.tensor`, `device.empty` or `view`. */
  constructor(
    readonly device: Device,
    readonly shape: readonly number[],
    readonly dtype: DType,
    id: number,
    root?: Tensor,
    /** First element within the root. */
    readonly offset = 0,
  ) {
    this.#id = id;
    this.root = root ?? this;
    root?.retain();
    this.#scope = adopt(this);
    if (this.#scope === undefined) this.watch();
  }

  /** @internal The native handle. Throws DisposedError. */
  get id(): number {
    if (this.#owners === 0) {
      throw new DisposedError(`${this.toString()} was disposed, a live tensor was needed`, this.label);
    }
    this.device.needOpen();
    return this.#id;
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  get bytes(): number {
    return this.size * bytesOf[this.dtype];
  }

  /** Number of handles and tape entries that keep the memory. @internal */
  get owners(): number {
    return this.#owners;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  toString(): string {
    return `${this.label || "tensor"} ${describe(this.shape, this.dtype)}`;
  }

  /**
   * Another tensor on the same memory: `shape`, starting `offset` elements in. It keeps the memory alive by itself, and
   * gradients flow through it.
   */
  view(shape: readonly number[], offset = 0): Tensor {
    const size = sizeOf(shape);
    if (offset < 0 || offset + size > this.size || shape.length > 4) {
      throw new ShapeError(
        `view: [${shape.join(", ")}] at element ${offset} of ${this.size}, needed a part of ${this.toString()} with at most 4 axes`,
        "view",
        [this.toString()],
      );
    }
    const id = native().view(
      this.id,
      offset,
      dtypeCode[this.dtype],
      shape.length,
      dim(shape, 0),
      dim(shape, 1),
      dim(shape, 2),
      dim(shape, 3),
    );
    const view = new Tensor(this.device, shape, this.dtype, id, this.root, this.offset + offset);
    record({
      inputs: [this],
      outputs: [view],
      keeps: [],
      backward: ([dy], gradients) => {
        if (size === this.size) return gradients.give(this, dy!.view(this.shape));
        const dx = this.device.full(this.shape, 0, this.dtype);
        run("add", dy, undefined, dx.view(shape, offset), 1, 0);
        gradients.give(this, dx);
      },
    });
    return view;
  }

  /** Overwrites the content; `data` is copied at once. */
  write(data: ArrayBufferView, from: SourceDType = this.dtype): void {
    this.device.guard(() => native().upload(this.id, data, dtypeCode[from]));
    this.root.version++;
  }

  /** A copy of the content: Float32Array (bf16 is widened) or Int32Array. Rejects with the failure of a poisoned stream. */
  async data(): Promise<Float32Array | Int32Array> {
    return this.device.wait(this.device.guard(() => native().read(this.id)));
  }

  /** A copy of the bytes, little-endian: as stored, or rounded to another float format (to nearest, ties to even). */
  async bytesData(dtype: SourceDType = this.dtype): Promise<Uint8Array> {
    return this.device.wait(this.device.guard(() => native().readRaw(this.id, dtypeCode[dtype])));
  }

  /** The value of a tensor with one element. */
  async item(): Promise<number> {
    if (this.size !== 1)
      throw new ShapeError(`item: ${this.toString()} has ${this.size} elements, needed one`, "item", [
        this.toString(),
      ]);
    return (await this.data())[0]!;
  }

  /** Gives the memory back. A second call does nothing. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#scope?.delete(this);
    this.#scope = undefined;
    this.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal Keeps the memory beyond `dispose`, for the tape. */
  retain(): void {
    if (this.#owners === 0)
      throw new DisposedError(`${this.toString()} was disposed, a live tensor was needed`, this.label);
    this.#owners++;
  }

  /** @internal */
  release(): void {
    if (--this.#owners > 0) return;
    this.unwatch();
    if (this.device.open) native().free(this.#id);
    if (this.root !== this) this.root.release();
  }

  /**
   * @internal Hands the tensor to another scope; undefined: to whoever holds it. `watched`: the leak detector looks after
   * it then; a holder of ours that lets go of it without fail does without.
   */
  moveTo(scope: Set<Tensor> | undefined, watched = true): void {
    this.#scope?.delete(this);
    this.#scope = this.#disposed ? undefined : scope;
    this.#scope?.add(this);
    if (scope === undefined && watched && !this.#disposed) this.watch();
    else this.unwatch();
  }

  private watch(): void {
    if (this.#watched) return;
    this.#watched = true;
    const { device, shape, dtype } = this;
    const root = this.root === this ? undefined : this.root;
    forgotten.register(this, { device, id: this.#id, shape, dtype, path: device.path, root }, this);
  }

  private unwatch(): void {
    if (!this.#watched) return;
    this.#watched = false;
    forgotten.unregister(this);
  }
}

interface Forgotten {
  device: Device;
  id: number;
  shape: readonly number[];
  dtype: DType;
  path: string;
  /** Of a view: what it keeps alive. */
  root: Tensor | undefined;
}

/**
 * The garbage collector as a leak detector (house rule S4): a tensor that no scope owns and that is collected without
 * `dispose()` is given back, with a warning that says which one it was, once for each shape and place. It may come late, or
 * never: dispose is the plan.
 */
const forgotten = new FinalizationRegistry<Forgotten>(({ device, id, shape, dtype, path, root }) => {
  if (!device.open) return;
  native().free(id);
  root?.release();
  const what = `a tensor ${describe(shape, dtype)}${path && ` made at ${path}`}`;
  if (reported.has(what)) return;
  reported.add(what);
  process.emitWarning(`${what} was collected without dispose()`, "MixwrightLeakWarning");
});
const reported = new Set<string>();
