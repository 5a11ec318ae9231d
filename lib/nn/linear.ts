import type { DType } from "../core/dtype.ts";
import type { Tensor } from "../core/tensor.ts";
import { type Grouping, groupedMatmul } from "../ops/grouped_matmul.ts";
import { linear } from "../ops/linear.ts";

/** Takes the place of a layer's product: what LoRA and DoRA attach. */
export interface LinearAdapter {
  apply(layer: Linear, x: Tensor, grouping: Grouping | undefined): Tensor;
}

/**
 * A dense layer, or one of E dense layers of equal shape side by side: the same projection of every expert, as one grouped
 * computation. Weight [N, K], or [E, N, K].
 */
export class Linear {
  adapter: LinearAdapter | undefined;

  constructor(
    /** Module path as in the checkpoint, such as model.layers.0.self_attn.q_proj; one for each expert. */
    readonly modules: readonly string[],
    public weight: Tensor,
    readonly bias?: Tensor | undefined,
  ) {}

  get grouped(): boolean {
    return this.weight.shape.length === 3;
  }

  get outFeatures(): number {
    return this.weight.shape.at(-2)!;
  }

  get inFeatures(): number {
    return this.weight.shape.at(-1)!;
  }

  /** x [T, K] → [T, N]; with a grouping → [R, N], rows sorted by expert. */
  forward(x: Tensor, grouping?: Grouping): Tensor {
    return this.adapter ? this.adapter.apply(this, x, grouping) : this.product(x, grouping, this.bias);
  }

  /** The layer without its adapter. */
  product(x: Tensor, grouping: Grouping | undefined, bias: Tensor | undefined, dtype?: DType): Tensor {
    if (grouping !== undefined) return groupedMatmul(x, this.weight, grouping);
    return linear(x, this.weight, { bias, ...(dtype && { dtype }) });
  }
}
