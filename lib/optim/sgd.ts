import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import { run } from "../core/run.ts";
import { checkRange } from "./checks.ts";
import { full, type Optimizer, type OptimizerOptions, optimizerKeys, optimizerOf } from "./optimizer.ts";

export interface SgdOptions extends OptimizerOptions {
  /** How much of the velocity an update keeps. Default 0: no velocity. */
  momentum?: number;
  /** Look ahead along the velocity (Nesterov). Default false. */
  nesterov?: boolean;
}

const keys = [...optimizerKeys, "momentum", "nesterov"];

/**
 * Stochastic gradient descent (momentum: Sutskever et al. 2013, as PyTorch writes it); weightDecay·p is added to the
 * gradient. Defaults: lr 1e-3, weightDecay 0. State: none, with momentum 4 bytes a parameter.
 */
export function sgd(options: SgdOptions = {}): Optimizer {
  refuseUnknown("sgd", options, keys);
  const { lr = 1e-3, momentum = 0, nesterov = false, weightDecay = 0, decay: filter, groups } = options;
  checkRange("sgd", { momentum });
  if (nesterov && momentum === 0) {
    throw new ConfigError("sgd: nesterov is true while momentum is 0, needed momentum above 0", "nesterov");
  }
  return optimizerOf({
    name: "sgd",
    settings: { momentum, nesterov },
    lr,
    weightDecay,
    decay: filter,
    groups,
    states: momentum === 0 ? [] : [full("velocity")],
    update: ({ grads, params, states: [velocity = []], masters }, { lr, decay, step, gradScale }) => {
      run("sgd", grads, params, velocity, masters, gradScale, lr, momentum, nesterov, decay, step);
    },
  });
}
