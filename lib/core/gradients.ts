import type { DType } from "./dtype.ts";
import { run } from "./run.ts";
import { hold, keep } from "./scope.ts";
import type { Tensor } from "./tensor.ts";

export interface Buffer {
  tensor: Tensor;
  accumulate: boolean;
}

/**
 * The gradients of one backward pass. Those of parameters collect in f32 buffers, one for each root tensor, so that the
 * parts of a fused weight share one; those of intermediate tensors live until the op that made the tensor has used them.
 * A tensor handed to several places is copied only when one of them writes to it.
 */
export class Gradients {
  private readonly params = new Map<Tensor, Tensor>();
  private readonly passing = new Map<Tensor, Tensor>();
  private readonly continued = new Set<Tensor>();
  private readonly converting: [Tensor, Tensor][] = [];
  private one: Tensor | undefined;

  /**
   * @param trainable roots of the parameters
   * @param needs does a gradient have to reach this tensor?
   */
  constructor(
    private readonly trainable: ReadonlySet<Tensor>,
    private needs: (tensor: Tensor) => boolean,
  ) {}

  wants(tensor: Tensor | undefined): boolean {
    return tensor !== undefined && this.needs(tensor);
  }

  /** Asks `more` too while `fn` runs: for the time of a recomputation, its tensors take gradients as well. */
  alongside(more: (tensor: Tensor) => boolean, fn: () => void): void {
    const { needs } = this;
    this.needs = (tensor) => needs(tensor) || more(tensor);
    try {
      fn();
    } finally {
      this.needs = needs;
    }
  }

  /** The gradient that arrived at `y`; the caller releases it. */
  take(y: Tensor): Tensor | undefined {
    const dy = this.passing.get(y);
    this.passing.delete(y);
    return dy;
  }

  /**
   * Where a kernel writes the gradient of `x`: a tensor of x's shape, and whether to add to what it holds. `dtype` is the
   * format the kernel writes: f32 for weights, whose gradients are sums over a batch. Undefined when none is wanted.
   */
  buffer(x: Tensor | undefined, dtype: DType | undefined = x?.dtype): Buffer | undefined {
    if (x === undefined || !this.needs(x)) return undefined;
    if (dtype === this.formatOf(x)) return this.stored(x);
    const tensor = x.device.empty(x.shape, dtype);
    this.converting.push([x, tensor]);
    return { tensor, accumulate: false };
  }

  /** Called when an op's gradient has run: what it wrote in another format than we store is added up. */
  settle(): void {
    for (const [x, dx] of this.converting.splice(0)) this.give(x, dx);
  }

  private formatOf(x: Tensor): DType {
    return this.trainable.has(x.root) ? "f32" : x.dtype;
  }

  private stored(x: Tensor): Buffer {
    if (this.trainable.has(x.root)) return this.paramBuffer(x);
    const present = this.passing.get(x);
    if (present !== undefined) return { tensor: this.writable(x, present), accumulate: true };
    const tensor = hold(x.device.empty(x.shape, x.dtype));
    this.passing.set(x, tensor);
    return { tensor, accumulate: false };
  }

  /** Adds `dx` to the gradient of `x`. It may be the very tensor that arrived: nothing is copied unless it must be. */
  give(x: Tensor | undefined, dx: Tensor): void {
    if (x === undefined || !this.needs(x)) return;
    if (!this.trainable.has(x.root) && !this.passing.has(x) && dx.dtype === x.dtype) {
      dx.retain();
      this.passing.set(x, dx);
      return;
    }
    const { tensor, accumulate } = this.stored(x);
    run("add", dx, accumulate ? tensor : undefined, tensor, 1, 1);
  }

  /** The same for a tensor that the caller alone has and needs no more: nothing is copied where it can serve as it is. */
  handOver(x: Tensor, dx: Tensor): void {
    const whole = x === x.root && dx === dx.root && dx.dtype === "f32";
    if (whole && this.trainable.has(x) && !this.params.has(x)) {
      dx.retain();
      this.params.set(x, dx);
    } else this.give(x, dx);
  }

  /** The gradient of the loss with respect to itself. */
  seed(loss: Tensor): void {
    this.one = loss.device.full(loss.shape, 1, loss.dtype);
    this.give(loss, this.one);
  }

  /** Is this gradient known to be 1? */
  isOne(dy: Tensor): boolean {
    return dy.root === this.one;
  }

  /** Goes on adding to `grad`, which an earlier pass returned for `param`. */
  continue(param: Tensor, grad: Tensor): void {
    const buffer = grad.root;
    this.continued.add(buffer);
    this.params.set(param.root, buffer);
  }

  /** The finished gradient of a parameter: the caller owns it. */
  of(param: Tensor, name: string): Tensor {
    const { root } = param;
    let buffer = this.params.get(root);
    if (buffer === undefined) {
      buffer = hold(root.device.full(root.shape, 0));
      this.params.set(root, buffer);
    }
    const grad = keep(buffer.view(param.shape, param.offset));
    grad.label = `gradient of ${name}`;
    return grad;
  }

  /** Lets go of whatever nobody took. */
  drop(): void {
    for (const dy of this.passing.values()) dy.release();
    this.passing.clear();
    for (const buffer of this.params.values()) if (!this.continued.has(buffer)) buffer.release();
    this.params.clear();
  }

  private paramBuffer(x: Tensor): Buffer {
    const { root } = x;
    const present = this.params.get(root);
    if (x === root) {
      if (present !== undefined) return { tensor: present, accumulate: true };
      const fresh = hold(root.device.empty(root.shape));
      this.params.set(root, fresh);
      return { tensor: fresh, accumulate: false };
    }
    if (present === undefined) this.params.set(root, hold(root.device.full(root.shape, 0)));
    return { tensor: this.params.get(root)!.view(x.shape, x.offset), accumulate: true };
  }

  private writable(x: Tensor, present: Tensor): Tensor {
    if (present.owners === 1 && present.root === present) return present;
    const copy = hold(x.device.empty(x.shape, x.dtype));
    run("add", present, undefined, copy, 1, 0);
    present.release();
    this.passing.set(x, copy);
    return copy;
  }
}
