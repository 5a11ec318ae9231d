import { ConfigError, ShapeError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { scope } from "../core/scope.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "gae",
  kernels: ["gae"],
  math:
    "advantages[t] = δ[t] + γλ · advantages[t+1], δ[t] = rewards[t] + γ · values[t+1] − values[t], within each segment; " +
    "returns = advantages + values",
  inputs: { rewards: "[T] f32", values: "[T] f32", offsets: "[D+1] i32", lastValues: "[D] f32?" },
  outputs: { advantages: "[T] f32", returns: "[T] f32" },
  tolerance: { f32: 1e-6, bf16: 1e-6 },
  source: "Schulman et al. 2016, eq. 16",
};

export interface GaeOptions {
  /** [T] f32: what each step earned. */
  rewards: Tensor;
  /** [T] f32: the value before each step. */
  values: Tensor;
  /** [D+1] i32: where each of D segments begins, and T. */
  offsets: Tensor | Int32Array;
  /** γ, from 0 to 1: how much the next step counts. */
  gamma: number;
  /** λ, from 0 to 1: 0 gives one-step errors δ, 1 the discounted sum of rewards minus the value. */
  lambda: number;
  /** [D] f32: the value behind each segment's last step, for segments that were cut. Default: 0, the text is over. */
  lastValues?: Tensor;
}

export interface Gae {
  advantages: Tensor;
  /** advantages + values: what the values are trained towards. */
  returns: Tensor;
}

/**
 * Generalized advantage estimation over segments laid end to end, two tensors [T] f32, in double. They carry no gradient.
 * Throws ConfigError for gamma or lambda outside of 0 to 1; offsets that don't run from 0 to T poison the stream.
 */
export function gae(options: GaeOptions): Gae {
  const { rewards, values, gamma, lambda, lastValues } = options;
  for (const [name, value] of Object.entries({ gamma, lambda })) {
    if (!(value >= 0 && value <= 1))
      throw new ConfigError(`gae: ${name} is ${value}, 0 to 1 was needed`, name);
  }
  return scope(() => {
    const { device } = rewards;
    const offsets = offsetsOn(rewards, options.offsets);
    const { T = 0, D = 0 } = check(spec, { rewards, values, offsets, lastValues });
    if (D < 0) throw new ShapeError("gae: offsets has no entries, [D+1] i32 was needed", "gae");
    const [advantages, returns] = [device.empty([T]), device.empty([T])];
    run("gae", rewards, values, offsets, lastValues, advantages, returns, gamma, lambda);
    return { advantages, returns };
  });
}

/** Where segments begin, [D+1] i32, on x's device. */
export const offsetsOn = (x: Tensor, offsets: Tensor | Int32Array): Tensor =>
  offsets instanceof Int32Array ? x.device.tensor(offsets, [offsets.length]) : offsets;
