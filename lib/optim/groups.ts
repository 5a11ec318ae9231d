import { run } from "../core/run.ts";
import type { Tensor } from "../core/tensor.ts";
import { lrScales } from "./lr_groups.ts";
import type { Rule, UpdateLists } from "./optimizer.ts";

type Tensors = Readonly<Record<string, Tensor>>;

/** Parameters of one rule, one learning rate and one decay: they take one kernel call. */
export interface Group {
  rule: Rule;
  names: readonly string[];
  lrScale: number;
  decay: number;
}

/** The rule that a parameter follows: `rule`, or one that stands in for it. */
function ruleFor(rule: Rule, name: string, shape: readonly number[]): Rule {
  return rule.others?.take(name, shape) ? ruleFor(rule.others.rule, name, shape) : rule;
}

/** The parameters in as few groups as they go into. */
export function groupsOf(rule: Rule, params: Tensors): Group[] {
  const scales = lrScales(rule.name, rule.groups ?? [], params);
  const groups: (Group & { names: string[] })[] = [];
  for (const [name, { shape }] of Object.entries(params)) {
    const own = ruleFor(rule, name, shape);
    const lrScale = scales.get(name)!;
    const decays = own.weightDecay !== 0 && (rule.decay?.(name, shape) ?? true);
    const decay = decays ? own.weightDecay : 0;
    const like = groups.find((g) => g.rule === own && g.lrScale === lrScale && g.decay === decay);
    if (like === undefined) groups.push({ rule: own, lrScale, decay, names: [name] });
    else like.names.push(name);
  }
  return groups;
}

/** The lists of a group, from all parameters and all state. */
export function listsOf({ rule, names }: Group, params: Tensors, state: Tensors): Omit<UpdateLists, "grads"> {
  return {
    params: names.map((name) => params[name]!),
    states: rule.states.map((kind) => names.map((name) => state[`${kind.name}.${name}`]!)),
    masters: names.map((name) => state[`master.${name}`]),
  };
}

/** New state tensors: `<state>.<parameter>`, zero, and `master.<parameter>`, what the bf16 parameter holds. */
export function makeState(rule: Rule, params: Tensors): Record<string, Tensor> {
  const made: Record<string, Tensor> = {};
  for (const [name, param] of Object.entries(params)) {
    for (const kind of ruleFor(rule, name, param.shape).states) {
      made[`${kind.name}.${name}`] = param.device.full(kind.shape(param.shape), 0, kind.dtype);
    }
    if (param.dtype !== "bf16") continue;
    const master = param.device.empty(param.shape);
    run("add", param, undefined, master, 1, 0);
    made[`master.${name}`] = master;
  }
  return made;
}
