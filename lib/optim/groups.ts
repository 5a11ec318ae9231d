import { run } from "../core/run.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Rule, UpdateLists } from "./optimizer.ts";

type Tensors = Readonly<Record<string, Tensor>>;

/** Parameters that decay alike: they take one kernel call. */
export interface Group extends Omit<UpdateLists, "grads"> {
  names: readonly string[];
  decay: number;
}

/** The weight decays in use, each with the parameters it applies to. */
export function namesByDecay({ decay, weightDecay }: Rule, params: Tensors): [number, string[]][] {
  const names = Object.keys(params);
  if (decay === undefined || weightDecay === 0) return [[weightDecay, names]];
  const decaying = new Set(names.filter((name) => decay(name, params[name]!.shape)));
  const groups: [number, string[]][] = [
    [weightDecay, names.filter((name) => decaying.has(name))],
    [0, names.filter((name) => !decaying.has(name))],
  ];
  return groups.filter(([, members]) => members.length > 0);
}

/** The lists of `names`, from all parameters and all state. */
export function groupOf(
  rule: Rule,
  names: readonly string[],
  decay: number,
  params: Tensors,
  state: Tensors,
): Group {
  return {
    names,
    decay,
    params: names.map((name) => params[name]!),
    states: rule.states.map((kind) => names.map((name) => state[`${kind}.${name}`]!)),
    masters: names.map((name) => state[`master.${name}`]),
  };
}

/** New state tensors: `<state>.<parameter>`, zero, and `master.<parameter>`, what the bf16 parameter holds. */
export function makeState(rule: Rule, params: Tensors): Record<string, Tensor> {
  const made: Record<string, Tensor> = {};
  for (const [name, param] of Object.entries(params)) {
    for (const kind of rule.states) made[`${kind}.${name}`] = param.device.full(param.shape, 0);
    if (param.dtype !== "bf16") continue;
    const master = param.device.empty(param.shape);
    run("add", param, undefined, master, 1, 0);
    made[`master.${name}`] = master;
  }
  return made;
}
