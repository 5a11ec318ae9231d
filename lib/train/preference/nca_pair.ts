import { scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, scale } from "../../ops/add.ts";
import { logSigmoid } from "../../ops/unary.ts";
import { checkInputs } from "./inputs.ts";
import { logRatios, mean, type PairLogProbs } from "./pair.ts";

/**
 * Noise contrastive alignment on pairs (Chen et al. 2024): the mean of −log σ(βc) − ½·log σ(−βc) − ½·log σ(−βr), c and r
 * the log-ratios. [1] f32.
 */
export function ncaPair(inputs: PairLogProbs & { beta?: number }): Tensor {
  checkInputs("ncaPair", inputs);
  const { beta = 0.1, ...pairs } = inputs;
  return scope(() => {
    const { chosen, rejected } = logRatios(pairs);
    const up = logSigmoid(scale(chosen, beta));
    const down = add(logSigmoid(scale(chosen, -beta)), logSigmoid(scale(rejected, -beta)));
    return mean(add(up, down, { alpha: -1, beta: -0.5 }));
  });
}
