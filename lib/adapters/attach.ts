import { refuseUnknown } from "../core/options.ts";
import { run } from "../core/run.ts";
import type { Model } from "../models/model.ts";
import { copyInto } from "../ops/add.ts";
import type { Adapter } from "./adapter.ts";
import { buildAdapter } from "./build.ts";

export interface AttachOptions {
  /** Default 8. */
  rank?: number;
  /** Scale of the update: alpha / rank, or alpha / √rank with `rslora`. Default 8. */
  alpha?: number;
  /** Names that end a module path, one regular expression, or "all-linear". Default q_proj and v_proj. */
  targets?: readonly string[] | string;
  exclude?: readonly string[] | string;
  layers?: readonly number[];
  /** Kalajdzievski 2023. Default false. */
  rslora?: boolean;
  /** Probability of dropping an input of A while training. Default 0. */
  dropout?: number;
  /** Ranks and alphas of single modules; a key matches a module path or its end after a dot. */
  rankPattern?: Readonly<Record<string, number>>;
  alphaPattern?: Readonly<Record<string, number>>;
  /** Modules trained as a whole beside the low-rank parts: all whose path ends so. "lm_head"; "model.norm" for the last norm. */
  modulesToSave?: readonly string[];
  /** Decides the initial A. Default 0. */
  seed?: number;
}

const known = [
  "rank",
  "alpha",
  "targets",
  "exclude",
  "layers",
  "rslora",
  "dropout",
  "rankPattern",
  "alphaPattern",
  "modulesToSave",
  "seed",
];

/**
 * Attaches LoRA (Hu et al. 2021): y = W·x + (alpha/rank)·B·A·x, A uniform in ±1/√in, B zero, so that nothing changes at
 * first. Experts are linears like any other: a target "w1" adapts every expert's, as one grouped computation a layer.
 * Throws ConfigError for a target that no layer has, or a setting out of range.
 */
export const attachLora = (model: Model, options: AttachOptions = {}): Adapter =>
  attach(model, options, false);

/**
 * Attaches DoRA (Liu et al. 2024): as LoRA, and each output feature has a trained magnitude, which starts as the norm of its
 * weight row. The norm carries no gradient (§4.3). Works on experts too.
 */
export const attachDora = (model: Model, options: AttachOptions = {}): Adapter =>
  attach(model, options, true);

function attach(model: Model, options: AttachOptions, dora: boolean): Adapter {
  refuseUnknown("adapter", options, known);
  const {
    rank = 8,
    alpha = 8,
    targets = ["q_proj", "v_proj"],
    rslora = false,
    dropout = 0,
    seed = 0,
  } = options;
  const { rankPattern = {}, alphaPattern = {}, modulesToSave = [], exclude, layers } = options;
  const config = {
    rank,
    alpha,
    targets,
    exclude,
    layers,
    rslora,
    dora,
    dropout,
    rankPattern,
    alphaPattern,
    modulesToSave,
  };
  const adapter = buildAdapter(model, { ...config, targetParameters: [] });
  adapter.layers.forEach(({ parts }, i) => {
    const bound = 1 / Math.sqrt(parts.a.shape.at(-1)!);
    run("random_uniform", parts.a, -bound, bound, seed, i);
    run("fill", parts.b, 0);
    parts.a.version++;
    parts.b.version++;
  });
  adapter.resetMagnitudes();
  for (const { own, base } of adapter.saved) copyInto(base, own);
  return adapter;
}
