import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { scale } from "../../ops/add.ts";
import { clamp } from "../../ops/unary.ts";
import { checkInputs } from "./inputs.ts";
import { margins, mean, type PairLossInputs, shift } from "./pair.ts";

/** The hinge loss on DPO's margin, as in SLiC-HF (Zhao et al. 2023): the mean of max(0, 1 − βΔ). [1] f32. */
export function hinge(inputs: PairLossInputs): Tensor {
  checkInputs("hinge", inputs);
  const { beta = 0.1, ...pairs } = inputs;
  return scope(() => mean(clamp(shift(scale(margins(pairs), -beta), 1), 0, Number.POSITIVE_INFINITY)));
}
