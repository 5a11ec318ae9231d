import { refuseUnknown } from "../core/options.ts";
import { run } from "../core/run.ts";
import { checkRange } from "./checks.ts";
import { full, type Optimizer, type OptimizerOptions, optimizerKeys, optimizerOf } from "./optimizer.ts";

export interface AdamOptions extends OptimizerOptions {
  /** How much of the running means of gradient and squared gradient an update keeps. Default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Added to the root of the second mean. Default 1e-8. */
  eps?: number;
}

const keys = [...optimizerKeys, "betas", "eps"];

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter 2019, alg. 2):
 * p ← p − lr·weightDecay·p − lr·m̂/(√v̂ + eps). Defaults: lr 1e-3, weightDecay 0.01.
 */
export function adamw({ weightDecay = 0.01, ...options }: AdamOptions = {}): Optimizer {
  return adamOf("adamw", true, { weightDecay, ...options });
}

/** Adam (Kingma and Ba 2015); weightDecay·p is added to the gradient. Defaults: lr 1e-3, weightDecay 0. */
export function adam(options: AdamOptions = {}): Optimizer {
  return adamOf("adam", false, options);
}

function adamOf(name: string, decoupled: boolean, options: AdamOptions): Optimizer {
  refuseUnknown(name, options, keys);
  const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0, decay: filter, groups } = options;
  const [beta1, beta2] = betas;
  checkRange(name, { "betas[0]": beta1, "betas[1]": beta2 }, 1);
  checkRange(name, { eps });
  return optimizerOf({
    name,
    settings: { betas, eps },
    lr,
    weightDecay,
    decay: filter,
    groups,
    states: [full("first"), full("second")],
    update: ({ grads, params, states: [first, second], masters }, { lr, decay, step, gradScale }) => {
      run(
        "adamw",
        grads,
        params,
        first!,
        second!,
        masters,
        gradScale,
        lr,
        beta1,
        beta2,
        eps,
        decay,
        decoupled,
        step,
      );
    },
  });
}
