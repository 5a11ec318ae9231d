import { refuseUnknown } from "../core/options.ts";
import { run } from "../core/run.ts";
import { checkRange } from "./checks.ts";
import { full, type Optimizer, type OptimizerOptions, optimizerKeys, optimizerOf } from "./optimizer.ts";

export interface LionOptions extends OptimizerOptions {
  /** Weights of the momentum in the direction of a step, and of its own decay. Default [0.9, 0.99]. */
  betas?: readonly [number, number];
}

const keys = [...optimizerKeys, "betas"];

/**
 * Lion (Chen et al. 2023, alg. 2): p ← p − lr·weightDecay·p − lr·sign(β₁·m + (1−β₁)·g). Defaults as in the authors' program:
 * lr 1e-4, weightDecay 0. State: 4 bytes a parameter.
 */
export function lion(options: LionOptions = {}): Optimizer {
  refuseUnknown("lion", options, keys);
  const { lr = 1e-4, betas = [0.9, 0.99], weightDecay = 0, decay: filter, groups } = options;
  const [beta1, beta2] = betas;
  checkRange("lion", { "betas[0]": beta1, "betas[1]": beta2 }, 1);
  return optimizerOf({
    name: "lion",
    settings: { betas },
    lr,
    weightDecay,
    decay: filter,
    groups,
    states: [full("momentum")],
    update: ({ grads, params, states: [momentum], masters }, { lr, decay, gradScale }) => {
      run("lion", grads, params, momentum!, masters, gradScale, lr, beta1, beta2, decay);
    },
  });
}
