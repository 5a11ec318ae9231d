import type { Tensor } from "../core/tensor.ts";
import { checkRange } from "./checks.ts";
import { checkLrGroups, type LrGroup } from "./lr_groups.ts";
import { OptimizerRun } from "./optimizer_run.ts";
import type { Schedule } from "./schedule.ts";

/** What every optimizer takes. */
export interface OptimizerOptions {
  /** Learning rate: a number, or a function of the number of updates already done. */
  lr?: number | Schedule;
  weightDecay?: number;
  /**
   * Which parameters `weightDecay` applies to. Default: all of them. Norms and biases are left out by
   * `(name, shape) => shape.length > 1`.
   */
  decay?: (name: string, shape: readonly number[]) => boolean;
  /**
   * Parameters that learn at a multiple of `lr`: the first group that matches counts. With decoupled decay they also decay
   * by that multiple. A group that matches nothing is an error. All of one rate and one decay take one pass.
   */
  groups?: readonly LrGroup[];
}

/** The keys of OptimizerOptions. */
export const optimizerKeys = ["lr", "weightDecay", "decay", "groups"] as const;

/** A kind of state tensors, zero at the start: one for each parameter. */
export interface StateKind {
  name: string;
  dtype: "f32" | "i32";
  /** From the parameter's shape. */
  shape: (of: readonly number[]) => readonly number[];
}

/** State in f32 of the parameter's own shape. */
export const full = (name: string): StateKind => ({ name, dtype: "f32", shape: (of) => of });

/** Parameters that take one kernel call, in lists side by side. */
export interface UpdateLists {
  grads: readonly Tensor[];
  params: readonly Tensor[];
  /** One list for each name in `Rule.states`. */
  states: readonly (readonly Tensor[])[];
  /** f32 copies of bf16 parameters; undefined where the parameter is f32 itself. */
  masters: readonly (Tensor | undefined)[];
}

/** The numbers of one update. `step` counts from 1. */
export interface UpdateNumbers {
  lr: number;
  decay: number;
  step: number;
  /** A device scalar that gradients are multiplied by; undefined: 1. */
  gradScale: Tensor | undefined;
}

/** How an optimizer turns a gradient into a change: its settings, the names of its state, its kernel. */
export interface Rule
  extends Required<Pick<OptimizerOptions, "lr" | "weightDecay">>,
    Pick<OptimizerOptions, "decay" | "groups"> {
  /** The public function's name. */
  name: string;
  /** Its own settings. */
  settings: Readonly<Record<string, unknown>>;
  states: readonly StateKind[];
  update: (lists: UpdateLists, numbers: UpdateNumbers) => void;
  /** Parameters that follow another rule, with its learning rate and weight decay, but with this one's `decay` and `groups`. */
  others?: { rule: Rule; take: (name: string, shape: readonly number[]) => boolean };
}

/** Describes an optimizer. It holds no tensors: `init` does, once for each set of parameters. */
export interface Optimizer {
  readonly kind: "optimizer";
  /** @internal */
  readonly rule: Rule;
  /** @internal Gradients are scaled down to this global norm. Infinity: never. */
  readonly maxNorm: number;
  /** @internal What a resumed run must have in common with its first start: all but the learning rate. */
  readonly fingerprint: Readonly<Record<string, unknown>>;
  /**
   * Starts a run: state tensors for `params`, and f32 masters of those in bf16, filled from what they hold now.
   *
   * @throws ConfigError when there are no parameters, when two share memory or lie on different devices.
   */
  init: (params: Readonly<Record<string, Tensor>>) => OptimizerRun;
}

/** The optimizer that follows `rule`. */
export function optimizerOf(rule: Rule, maxNorm = Number.POSITIVE_INFINITY): Optimizer {
  if (typeof rule.lr === "number") checkRange(rule.name, { lr: rule.lr });
  checkRange(rule.name, { weightDecay: rule.weightDecay });
  checkLrGroups(rule.name, rule.groups ?? []);
  const { name, weightDecay, settings } = rule;
  return {
    kind: "optimizer",
    rule,
    maxNorm,
    fingerprint: {
      optimizer: name,
      weightDecay,
      clip: maxNorm === Number.POSITIVE_INFINITY ? "none" : maxNorm,
      ...settings,
    },
    init: (params) => new OptimizerRun(rule, maxNorm, params),
  };
}
