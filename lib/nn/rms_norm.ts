import type { Tensor } from "../core/tensor.ts";
import { rmsNorm } from "../ops/rms_norm.ts";

/** Root-mean-square norm over rows as wide as its weight: a hidden state, or each head of a query. */
export class RmsNorm {
  constructor(
    readonly module: string,
    public weight: Tensor,
    readonly eps: number,
  ) {}

  forward(x: Tensor): Tensor {
    const { eps, weight } = this;
    return weight.size === x.shape.at(-1)
      ? rmsNorm(x, weight, { eps })
      : rmsNorm(x, weight, { eps, width: weight.size });
  }
}
