import { owned } from "../core/device.ts";
import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import { run } from "../core/run.ts";
import { disposeAll } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Model } from "../models/model.ts";
import { Linear } from "../nn/linear.ts";
import { RmsNorm } from "../nn/rms_norm.ts";
import { copyInto } from "../ops/add.ts";
import { Adapter, type AdapterConfig, type SavedModule } from "./adapter.ts";
import { fusedAdapters } from "./fused_experts.ts";
import { LowRank } from "./low_rank.ts";
import { findTargets, sizesOf } from "./targets.ts";

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
  /** Modules trained as a whole beside the low-rank parts, such as lm_head. */
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

/** @internal Takes the memory of an adapter and attaches it; the content is the caller's to fill. */
export function buildAdapter(model: Model, config: AdapterConfig): Adapter {
  checkConfig(config);
  if (model.adapter !== undefined) {
    throw new ConfigError("adapter: the model has one attached; dispose() it first", "adapter");
  }
  const builder = new AdapterBuilder(model, config);
  try {
    return builder.build();
  } catch (error) {
    builder.dispose();
    throw error;
  }
}

function checkConfig(config: AdapterConfig): void {
  const { rank, alpha, rankPattern, alphaPattern, dropout } = config;
  for (const value of [rank, ...Object.values(rankPattern)]) {
    if (!Number.isInteger(value) || value < 1)
      throw new ConfigError(`adapter: rank is ${value}, a whole number from 1 was needed`, "rank");
  }
  for (const value of [alpha, ...Object.values(alphaPattern)]) {
    if (!Number.isFinite(value))
      throw new ConfigError(`adapter: alpha is ${value}, a number was needed`, "alpha");
  }
  if (!(dropout >= 0 && dropout < 1)) {
    throw new ConfigError(`adapter: dropout is ${dropout}, a number from 0 to below 1 was needed`, "dropout");
  }
}

class AdapterBuilder {
  private readonly params: Record<string, Tensor> = {};
  private readonly memory: Tensor[] = [];

  constructor(
    private readonly model: Model,
    private readonly config: AdapterConfig,
  ) {}

  build(): Adapter {
    const { model, config } = this;
    const noTargets = config.targets.length === 0 && config.targetParameters.length > 0;
    const found = noTargets ? new Map<Linear, number[]>() : findTargets(model.parts.linears, config);
    const layers = [...found].map(([layer, parts]) => this.lowRank(layer, parts));
    const saved = config.modulesToSave.map((name) => this.savedModule(name));
    const fused =
      config.targetParameters.length > 0 ? fusedAdapters(model, config) : { pairs: [], layers: [] };
    for (const { path, a, b } of fused.pairs) {
      this.params[`${path}.lora_A.weight`] = a;
      this.params[`${path}.lora_B.weight`] = b;
    }
    this.memory.push(...fused.layers.map(({ parts }) => parts.b));
    return new Adapter(
      model,
      config,
      this.params,
      [...layers, ...fused.layers],
      saved,
      fused.pairs,
      this.memory,
    );
  }

  /** Gives back what a failed build has taken. */
  dispose(): void {
    disposeAll(this.params, this.memory);
  }

  private lowRank(layer: Linear, targeted: readonly number[]): LowRank {
    if (layer === this.model.parts.head) {
      throw new ConfigError(
        "adapter: lm_head takes no low-rank update, the loss never sees its logits; modulesToSave trains it as a whole",
        "targets",
      );
    }
    const { rank, scaling } = this.sizesOf(layer, targeted);
    const { dora, dropout } = this.config;
    const { inFeatures: K, outFeatures: N } = layer;
    const names = targeted.map((i) => [layer.modules[i]!, i] as const);
    const tensor = (suffix: string, shape: readonly number[]): Tensor => {
      const first = `${layer.modules[targeted[0]!]}.${suffix}`;
      const whole = owned(this.empty(layer.grouped ? [layer.modules.length, ...shape] : shape), first);
      // Experts that are no targets keep A = B = 0, whose gradient nobody uses.
      if (targeted.length < layer.modules.length) run("fill", whole, 0);
      if (layer.grouped) this.memory.push(whole);
      const size = shape.reduce((a, b) => a * b, 1);
      for (const [module, i] of names) {
        const key = `${module}.${suffix}`;
        this.params[key] = layer.grouped ? owned(whole.view(shape, i * size), key) : whole;
      }
      return whole;
    };
    return new LowRank(layer, {
      a: tensor("lora_A.weight", [rank, K]),
      b: tensor("lora_B.weight", [N, rank]),
      magnitude: dora ? tensor("lora_magnitude_vector", [N]) : undefined,
      scaling,
      dropout,
    });
  }

  private sizesOf(layer: Linear, targeted: readonly number[]): { rank: number; scaling: number } {
    const sizes = targeted.map((i) => sizesOf(this.config, layer.modules[i]!));
    const [first] = sizes;
    if (sizes.some((size) => size.rank !== first!.rank || size.scaling !== first!.scaling)) {
      throw new ConfigError(
        `adapter: the experts of ${layer.modules[0]} have ranks or alphas of their own, one for all experts of a layer was needed`,
        "rankPattern",
      );
    }
    return first!;
  }

  private savedModule(name: string): SavedModule {
    const { parts } = this.model;
    const norms = [parts.norm, ...parts.blocks.flatMap((b) => [b.attentionNorm, b.mlpNorm])];
    const all: (Linear | RmsNorm)[] = [parts.embedding, ...parts.linears, ...norms];
    const matches = all.filter((m) => pathOf(m) === name || pathOf(m).endsWith(`.${name}`));
    const [module] = matches;
    if (module === undefined || matches.length > 1 || (module instanceof Linear && module.grouped)) {
      throw new ConfigError(
        `adapter: modulesToSave names "${name}", which ${matches.length} modules are called; one dense module was needed`,
        "modulesToSave",
      );
    }
    const own = owned(
      this.model.device.empty(module.weight.shape, this.model.dtype),
      `${pathOf(module)}.weight`,
    );
    this.params[`${pathOf(module)}.weight`] = own;
    return { module, own, base: module.weight };
  }

  private empty(shape: readonly number[]): Tensor {
    return this.model.device.empty(shape);
  }
}

const pathOf = (module: Linear | RmsNorm): string =>
  module instanceof RmsNorm ? module.module : module.modules[0]!;
