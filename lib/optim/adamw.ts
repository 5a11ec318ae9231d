import { sizeOf } from "../core/dtype.ts";
import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import { run } from "../core/run.ts";
import { checkRange } from "./checks.ts";
import {
  full,
  type Optimizer,
  type OptimizerOptions,
  optimizerKeys,
  optimizerOf,
  type Rule,
  type StateKind,
} from "./optimizer.ts";

export interface AdamOptions extends OptimizerOptions {
  /** How much of the running means of gradient and squared gradient an update keeps. Default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Added to the root of the second mean. Default 1e-8. */
  eps?: number;
  /**
   * Format of the two means. `"8bit"`: 2.03 bytes a parameter instead of 8, by block-wise dynamic quantization (Dettmers et
   * al. 2022, arXiv 2110.02861), each 256 elements having one scale. A mean is kept to 0.7 % (the second: 0.35 %) of the
   * largest in its block. What 100 updates do differs from f32 by 1.5 % where gradients in a block are of one size, by 7 %
   * where they span 1 : 100. Parameters below 4096 elements stay at f32. Default `"f32"`.
   */
  states?: "f32" | "8bit";
}

const keys = [...optimizerKeys, "betas", "eps", "states"];

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter 2019, alg. 2):
 * p ← p − lr·weightDecay·p − lr·m̂/(√v̂ + eps). Defaults: lr 1e-3, weightDecay 0.01. State: 8 bytes a parameter.
 */
export function adamw({ weightDecay = 0.01, ...options }: AdamOptions = {}): Optimizer {
  return adamOf("adamw", true, { weightDecay, ...options });
}

/**
 * Adam (Kingma and Ba 2015); weightDecay·p is added to the gradient. Defaults: lr 1e-3, weightDecay 0. State: 8 bytes a
 * parameter.
 */
export function adam(options: AdamOptions = {}): Optimizer {
  return adamOf("adam", false, options);
}

function adamOf(name: string, decoupled: boolean, options: AdamOptions): Optimizer {
  refuseUnknown(name, options, keys);
  const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0, states = "f32" } = options;
  const [beta1, beta2] = betas;
  checkRange(name, { "betas[0]": beta1, "betas[1]": beta2 }, 1);
  checkRange(name, { eps });
  if (states !== "f32" && states !== "8bit") {
    throw new ConfigError(`${name}: states is "${states}", needed f32 or 8bit`, "states");
  }
  /** The kernels differ in their state alone. */
  const pass =
    (kernel: string): Rule["update"] =>
    ({ grads, params, states, masters }, { lr, decay, step, gradScale }) => {
      const numbers = [lr, beta1, beta2, eps, decay, decoupled, step];
      run(kernel, grads, params, ...states, masters, gradScale, ...numbers);
    };
  const settings = { betas, eps };
  const { decay, groups } = options;
  const rule: Rule = {
    name,
    settings,
    lr,
    weightDecay,
    decay,
    groups,
    states: [full("first"), full("second")],
    update: pass("adamw"),
  };
  if (states === "f32") return optimizerOf(rule);
  return optimizerOf({
    ...rule,
    settings: { ...settings, states },
    states: ["first", "second"].flatMap(moment8bit),
    update: pass("adamw_8bit"),
    others: { rule, take: (_, shape) => sizeOf(shape) < least8bit },
  });
}

/** Parameters with fewer elements keep their moments in f32, as in the authors' program: norms and biases are worth it. */
const least8bit = 4096;

/** One byte an element, four in a number of i32, and a scale for every 256: as native/ops/adamw_8bit.h has it. */
const moment8bit = (name: string): StateKind[] => [
  { name, dtype: "i32", shape: (of) => [Math.ceil(sizeOf(of) / 4)] },
  { name: `${name}Scale`, dtype: "f32", shape: (of) => [Math.ceil(sizeOf(of) / 256)] },
];
