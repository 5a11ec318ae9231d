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
    return this.device.wait(native().read(this.id));
  }

  /** A copy of the bytes as stored. */
  async bytesData(): Promise<Uint8Array> {
    return this.device.wait(native().readRaw(this.id));
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
    if (this.device.open) native().free(this.#id);
    if (this.root !== this) this.root.release();
  }

  /** @internal Hands the tensor to another scope; undefined: to whoever holds it. */
  moveTo(scope: Set<Tensor> | undefined): void {
    this.#scope?.delete(this);
    this.#scope = this.#disposed ? undefined : scope;
    this.#scope?.add(this);
  }
}
