import { scope } from "../../core/scope.ts";
import { withoutGrad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, scale } from "../../ops/add.ts";
import { multiply } from "../../ops/binary.ts";
import { segmentExpand, sum } from "../../ops/segment_sum.ts";
import { reciprocal, sqrt, square } from "../../ops/unary.ts";
import { mean, shift, subtract } from "../preference/pair.ts";

export interface WhitenOptions {
  /** false: the mean stays as it is. Default true. */
  shiftMean?: boolean;
  /** "sample" divides by N − 1, "population" by N. Default "sample". */
  variance?: "sample" | "population";
}

/** Inside of the root. */
const kEps = 1e-8;

/**
 * x [N] f32 with variance 1 and, unless `shiftMean` is false, mean 0: (x − mean) / √(variance + 1e-8). No gradient. One element
 * has variance 0.
 */
export function whiten(x: Tensor, { shiftMean = true, variance = "sample" }: WhitenOptions = {}): Tensor {
  return withoutGrad(() =>
    scope(() => {
      const N = x.size;
      const average = spread(mean(x), N);
      const centred = subtract(x, average);
      const degrees = variance === "sample" ? Math.max(N - 1, 1) : N;
      const root = sqrt(shift(scale(sum(square(centred)), 1 / degrees), kEps));
      const white = multiply(centred, spread(reciprocal(root), N));
      return shiftMean ? white : add(white, average);
    }),
  );
}

/** A scalar [1], N times. */
export const spread = (x: Tensor, N: number): Tensor =>
  segmentExpand(x, x.device.tensor(Int32Array.of(0, N), [2]), N);
