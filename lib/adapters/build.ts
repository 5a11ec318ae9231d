import { owned } from "../core/device.ts";
import { ConfigError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { disposeAll } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Model } from "../models/model.ts";
import { Linear } from "../nn/linear.ts";
import { RmsNorm } from "../nn/rms_norm.ts";
import { Adapter, type AdapterConfig, type SavedModule } from "./adapter.ts";
import { fusedAdapters } from "./fused_experts.ts";
import { LowRank } from "./low_rank.ts";
import { findTargets, sizesOf } from "./targets.ts";

/** @internal Takes the memory of an adapter and attaches it; the content is the caller's to fill. */
export function buildAdapter(model: Model, config: AdapterConfig): Adapter {
  model.requireLive("adapter");
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
    const saved = this.savedModules();
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

  /** PEFT's rule: every module whose path ends in one of the names. */
  private savedModules(): SavedModule[] {
    const { model, config } = this;
    const { embedding, norm, blocks, linears } = model.parts;
    const norms = blocks.flatMap(({ attention: { parts }, attentionNorm, mlpNorm }) => [
      attentionNorm,
      mlpNorm,
      ...[parts.qNorm, parts.kNorm].filter((norm) => norm !== undefined),
    ]);
    const all: (Linear | RmsNorm)[] = [embedding, ...linears, norm, ...norms];
    for (const name of config.modulesToSave) {
      const matches = all.filter((module) => pathOf(module).endsWith(name));
      if (matches.length === 0 || matches.some((module) => module instanceof Linear && module.grouped)) {
        throw new ConfigError(
          `adapter: modulesToSave names "${name}", which ${matches.length === 0 ? "no module is" : "experts are"} called;` +
            " dense layers, norms and the embedding can be saved",
          "modulesToSave",
        );
      }
    }
    const chosen = all.filter((module) => config.modulesToSave.some((name) => pathOf(module).endsWith(name)));
    return chosen.map((module) => {
      const key = `${pathOf(module)}.weight`;
      const own = owned(model.device.empty(module.weight.shape, model.dtype), key);
      this.params[key] = own;
      return { module, own, base: module.weight };
    });
  }

  private empty(shape: readonly number[]): Tensor {
    return this.model.device.empty(shape);
  }
}

const pathOf = (module: Linear | RmsNorm): string =>
  module instanceof RmsNorm ? module.module : module.modules[0]!;
