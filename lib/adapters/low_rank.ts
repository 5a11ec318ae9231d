// K in, N out, r rank, E experts (1 without)
import { ConfigError } from "../core/errors.ts";
import { keep, scope } from "../core/scope.ts";
import { isTraining, withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Linear, LinearAdapter } from "../nn/linear.ts";
import { copyInto } from "../ops/add.ts";
import { doraCompose, doraNorm, rowSumSquares } from "../ops/dora.ts";
import { dropout } from "../ops/dropout.ts";
import { type Grouping, groupedMatmul } from "../ops/grouped_matmul.ts";
import { lowRankLinear } from "../ops/low_rank.ts";

export interface LowRankParts {
  /** [r, K], or [E, r, K]. */
  a: Tensor;
  /** [N, r], or [E, N, r]. */
  b: Tensor;
  /** DoRA: [N], or [E, N]. */
  magnitude?: Tensor | undefined;
  scaling: number;
  dropout: number;
}

const stacked = (t: Tensor): Tensor => (t.shape.length === 3 ? t : t.view([1, ...t.shape]));

/**
 * LoRA (Hu et al. 2021) and DoRA (Liu et al. 2024) on one layer, or on all experts of one projection at once:
 *
 *   LoRA  y = W·x + s·B·A·drop(x) + bias        DoRA  y = m/‖W + s·B·A‖ · (W·x + s·B·A·drop(x)) + bias
 *
 * No adapted weight is built. With dropout, DoRA uses the undropped W·x.
 */
export class LowRank implements LinearAdapter {
  private square: { at: number; value: Tensor } | undefined;
  private cached: { at: string; value: Tensor } | undefined;

  constructor(
    readonly layer: Linear,
    readonly parts: LowRankParts,
  ) {}

  apply(layer: Linear, x: Tensor, grouping: Grouping | undefined): Tensor {
    const { a, b, magnitude, scaling } = this.parts;
    const rate = isTraining() ? this.parts.dropout : 0;
    if (grouping === undefined) {
      const norm = magnitude && this.norm().view(magnitude.shape);
      return lowRankLinear(x, layer.weight, a, b, {
        scaling,
        dropout: rate,
        magnitude,
        norm,
        bias: layer.bias,
      });
    }
    const base = layer.product(x, grouping, undefined);
    const low = groupedMatmul(dropout(x, rate), a, grouping);
    const { offsets } = grouping;
    const v = groupedMatmul(low, b, { offsets }, { alpha: scaling, onto: base });
    return magnitude ? doraCompose(v, magnitude, this.norm(), { offsets }) : v;
  }

  /** ‖W + s·B·A‖ by rows, [E, N]: computed once, until W, A or B changes. */
  norm(): Tensor {
    const { layer, parts } = this;
    const version = layer.weight.root.version;
    const at = `${version} ${parts.a.root.version} ${parts.b.root.version}`;
    if (this.cached?.at !== at) {
      const value = withoutGrad(() =>
        scope(() => {
          const weight = stacked(layer.weight);
          if (this.square?.at !== version) {
            this.square?.value.dispose();
            this.square = { at: version, value: keep(rowSumSquares(weight)) };
          }
          return doraNorm(weight, this.square.value, stacked(parts.a), stacked(parts.b), parts.scaling);
        }),
      );
      this.cached?.value.dispose();
      this.cached = { at, value: keep(value) };
    }
    return this.cached.value;
  }

  /** Magnitudes as they are now: what DoRA starts from. */
  resetMagnitude(): void {
    const { magnitude } = this.parts;
    if (!magnitude) throw new ConfigError("adapter: a LoRA layer has no magnitude", "magnitude");
    scope(() => void withoutGrad(() => copyInto(this.norm().view(magnitude.shape), magnitude)));
  }

  dispose(): void {
    this.square?.value.dispose();
    this.cached?.value.dispose();
    this.square = this.cached = undefined;
  }
}
