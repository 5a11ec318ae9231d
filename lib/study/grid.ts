import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";

export type MethodName = "full" | "lora" | "dora";

/** What stands in a list of methods: "full", "lora:16", "dora:16:attention", or an object, whose lists multiply. */
export type MethodOption =
  | string
  | {
      method: MethodName;
      /** Of an adapter. Default 8. */
      rank?: number | readonly number[];
      /** "attention", "mlp" (experts included), "experts", "all", or names of modules with commas between. Default "all". */
      targets?: string | readonly string[];
      /** Default 2·rank, as Biderman et al. found best. */
      alpha?: number;
      dropout?: number;
      rslora?: boolean;
      /** Modules that are trained as a whole beside the adapter. */
      modulesToSave?: readonly string[];
      /** AdamW's, in place of the study's. */
      weightDecay?: number;
      /** Learning rates in place of the study's: adapters want about ten times those of full training. */
      lr?: number | readonly number[];
    };

/** One way to train. */
export interface Method {
  /** Unique in a study: "full", "lora-r16-all", "dora-r4-attention-a32". */
  label: string;
  name: MethodName;
  rank?: number;
  alpha?: number;
  targets?: string;
  dropout?: number;
  rslora?: boolean;
  modulesToSave?: readonly string[];
  weightDecay?: number;
}

/** One training run of a study. */
export interface StudyRun {
  /** Unique in a study, and the name of its folder: "lora-r16-all-lr0.0003-s0". */
  name: string;
  method: Method;
  lr: number;
  seed: number;
}

const kNames: readonly string[] = ["full", "lora", "dora"];
const kKeys = [
  "method",
  "rank",
  "targets",
  "alpha",
  "dropout",
  "rslora",
  "modulesToSave",
  "weightDecay",
  "lr",
];

/** Parts of a model that an adapter can go to, as regular expressions of module paths; undefined: all of them. */
const kParts: Readonly<Record<string, string | undefined>> = {
  attention: ".*\\.self_attn\\.[^.]+",
  mlp: ".*\\.layers\\.\\d+\\.(?!self_attn\\.).+",
  experts: ".*\\.experts\\.\\d+\\.[^.]+",
  all: "all-linear",
};

/** `targets` as attachLora takes them. */
export const targetsOf = (targets: string): string | readonly string[] =>
  kParts[targets] ?? targets.split(",");

/**
 * All runs: methods × their learning rates × seeds, in this order. Throws ConfigError for an empty list, an unknown key or
 * method (with the nearest), a value out of range, and a run that comes twice.
 */
export function expandGrid(options: {
  methods: readonly MethodOption[];
  lr: readonly number[];
  seeds: readonly number[];
}): StudyRun[] {
  const { methods, lr, seeds } = options;
  for (const [key, list] of Object.entries({ methods, seeds }))
    if (list.length === 0) throw new ConfigError(`study: ${key} is empty, at least one was needed`, key);
  for (const seed of seeds)
    checkValue("seeds", seed, Number.isInteger(seed) && seed >= 0, "whole numbers from 0");
  const runs = methods.flatMap((option, i) => {
    const where = `methods[${i}]`;
    const { variants, rates } = variantsOf(option, where);
    const own = rates ?? lr;
    if (own.length === 0) throw new ConfigError(`study: ${where} has no learning rate, lr gives them`, "lr");
    for (const rate of own) checkValue("lr", rate, Number.isFinite(rate) && rate >= 0, "numbers from 0");
    return variants.flatMap((method) =>
      own.flatMap((rate) =>
        seeds.map((seed) => ({ name: `${method.label}-lr${rate}-s${seed}`, method, lr: rate, seed })),
      ),
    );
  });
  const names = runs.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice) throw new ConfigError(`study: the run ${twice} comes twice in methods, lr and seeds`, "methods");
  return runs;
}

function checkValue(key: string, value: unknown, holds: boolean, wanted: string): void {
  if (!holds) throw new ConfigError(`study: ${key} has ${JSON.stringify(value)}, ${wanted} were needed`, key);
}

/** An entry's ways to train, and learning rates of its own. */
function variantsOf(option: MethodOption, where: string): { variants: Method[]; rates?: readonly number[] } {
  const given = typeof option === "string" ? fromWord(option, where) : camelKeys(option);
  refuseUnknown(`study, ${where}`, given, kKeys);
  const { method: name, rank = 8, targets = "all", alpha, dropout, rslora, modulesToSave } = given;
  const { weightDecay, lr } = given;
  // An unknown word is reported as an option is, with the nearest.
  refuseUnknown(`study, ${where}.method`, { [String(name)]: 0 }, kNames);
  const rates = lr === undefined ? {} : { rates: [lr].flat() as number[] };
  if (weightDecay !== undefined)
    checkValue(`${where}.weightDecay`, weightDecay, weightDecay >= 0, "numbers from 0");
  if (name === "full") {
    const odd = Object.keys(given).find((key) => !["method", "lr", "weightDecay"].includes(key));
    if (odd)
      throw new ConfigError(`study: ${where} gives ${odd} to full training, which has no adapter`, odd);
    const method = { name, ...present({ weightDecay }) };
    return { variants: [{ label: labelOf(method), ...method }], ...rates };
  }
  checkAdapter(where, given);
  for (const r of [rank].flat())
    checkValue(`${where}.rank`, r, Number.isInteger(r) && r >= 1, "whole numbers from 1");
  const variants = ([rank].flat() as number[]).flatMap((r) =>
    ([targets].flat() as string[]).map((part) => {
      const method = {
        name,
        rank: r,
        targets: String(part),
        alpha: alpha ?? 2 * r,
        ...present({ dropout, rslora, modulesToSave, weightDecay }),
      };
      return { label: labelOf(method), ...method };
    }),
  );
  return { variants, ...rates };
}

/** What attachLora would refuse only when its run has begun. */
function checkAdapter(
  where: string,
  {
    alpha = 1,
    dropout = 0,
    rslora = false,
    modulesToSave = [],
    targets = "all",
  }: Exclude<MethodOption, string>,
): void {
  const words = (list: unknown): boolean => [list].flat().every((word) => typeof word === "string" && word);
  checkValue(`${where}.alpha`, alpha, Number.isFinite(alpha) && alpha > 0, "numbers above 0");
  checkValue(
    `${where}.dropout`,
    dropout,
    typeof dropout === "number" && dropout >= 0 && dropout < 1,
    "numbers from 0, below 1",
  );
  checkValue(`${where}.rslora`, rslora, typeof rslora === "boolean", "true or false");
  checkValue(`${where}.targets`, targets, words(targets), "texts");
  checkValue(
    `${where}.modulesToSave`,
    modulesToSave,
    Array.isArray(modulesToSave) && words(modulesToSave),
    "lists of names",
  );
}

/** "lora:16:attention" */
function fromWord(word: string, where: string): Exclude<MethodOption, string> {
  const [method, rank, targets, ...more] = word.split(":");
  const number = Number(rank ?? 8);
  if (more.length > 0 || !Number.isInteger(number)) {
    throw new ConfigError(
      `study: ${where} is "${word}", a method, its rank and targets were needed, such as lora:16:all`,
      "methods",
    );
  }
  return {
    method: method as MethodName,
    ...(rank !== undefined && { rank: number }),
    ...(targets !== undefined && { targets }),
  };
}

/** The keys of a YAML file may be written with hyphens. */
function camelKeys(option: Exclude<MethodOption, string>): Exclude<MethodOption, string> {
  const entries = Object.entries(option).map(([key, value]) => [
    key.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    value,
  ]);
  return Object.fromEntries(entries);
}

function labelOf({
  name,
  rank,
  targets,
  alpha,
  dropout,
  rslora,
  modulesToSave,
  weightDecay,
}: Omit<Method, "label">): string {
  return [
    name,
    rank !== undefined && `r${rank}`,
    targets?.replaceAll(",", "+"),
    rank !== undefined && alpha !== 2 * rank && `a${alpha}`,
    dropout && `d${dropout}`,
    rslora && "rs",
    modulesToSave?.length && `save-${modulesToSave.join("+")}`,
    weightDecay !== undefined && `wd${weightDecay}`,
  ]
    .filter(Boolean)
    .join("-")
    .replaceAll(/[^\w.+-]/g, "_");
}

/** Without what is undefined. */
const present = <T extends object>(fields: T): T =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
