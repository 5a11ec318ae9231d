import { type Device, owned } from "../core/device.ts";
import type { DType } from "../core/dtype.ts";
import type { Tensor } from "../core/tensor.ts";

/** How a parameter starts when it isn't loaded. */
export type ParamKind = "weight" | "norm" | "bias";

/** A tensor that a model owns, and the checkpoint names of its parts, in order: one, or one for each expert. */
export interface OwnedParam {
  tensor: Tensor;
  names: readonly string[];
  kind: ParamKind;
}

/** The parameters of a model: named as in the checkpoint, stored as the kernels want them. */
export class ParamSet {
  /** Checkpoint name → tensor; the experts of a layer are parts of one stacked tensor. */
  readonly params: Record<string, Tensor> = {};
  readonly owned: OwnedParam[] = [];
  /** Checkpoint name → what the model has beside parameters, in f32: no optimizer changes it. */
  readonly buffers: Record<string, Tensor> = {};

  constructor(
    readonly device: Device,
    readonly dtype: DType,
  ) {}

  one(name: string, shape: readonly number[], kind: ParamKind = "weight"): Tensor {
    const tensor = owned(this.device.empty(shape, this.dtype), name);
    this.owned.push({ tensor, names: [name], kind });
    this.params[name] = tensor;
    return tensor;
  }

  /** Tensors of one shape side by side, [count, ...shape], each part a parameter of its own. */
  stack(names: readonly string[], shape: readonly number[], kind: ParamKind = "weight"): Tensor {
    const tensor = owned(this.device.empty([names.length, ...shape], this.dtype), names[0]!);
    const size = shape.reduce((a, b) => a * b, 1);
    names.forEach((name, i) => {
      this.params[name] = owned(tensor.view(shape, i * size), name);
    });
    this.owned.push({ tensor, names, kind });
    return tensor;
  }

  /** Zeros. */
  buffer(name: string, shape: readonly number[]): Tensor {
    const tensor = owned(this.device.full(shape, 0), name);
    this.buffers[name] = tensor;
    return tensor;
  }

  dispose(): void {
    for (const tensor of Object.values(this.params)) tensor.dispose();
    for (const tensor of Object.values(this.buffers)) tensor.dispose();
    for (const { tensor } of this.owned) tensor.dispose();
  }
}
