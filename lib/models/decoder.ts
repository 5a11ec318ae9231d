// V vocabulary, D hidden, F feed-forward, H heads, G key/value heads, E experts
import { type Device, owned } from "../core/device.ts";
import type { DType } from "../core/dtype.ts";
import { ConfigError } from "../core/errors.ts";
import { SelfAttention } from "../nn/attention.ts";
import { Block } from "../nn/block.ts";
import { SparseMoe } from "../nn/experts.ts";
import { Linear } from "../nn/linear.ts";
import { Mlp } from "../nn/mlp.ts";
import { RmsNorm } from "../nn/rms_norm.ts";
import { inverseFrequencies, type ModelConfig } from "./config.ts";
import { families } from "./families.ts";
import type { Family } from "./family.ts";
import { Model } from "./model.ts";
import { ParamSet } from "./param_set.ts";

/** Lays out a model of any family: takes the memory, names the parts, fills nothing. */
export function buildModel(config: ModelConfig, device: Device, dtype: DType): Model {
  const set = new ParamSet(device, dtype);
  try {
    return new DecoderBuilder(config, families[config.modelType], set).build();
  } catch (error) {
    set.dispose();
    throw error;
  }
}

class DecoderBuilder {
  private readonly linears: Linear[] = [];

  constructor(
    private readonly config: ModelConfig,
    private readonly family: Family,
    private readonly set: ParamSet,
  ) {}

  build(): Model {
    const { config, set } = this;
    const { vocabSize: V, hiddenSize: D } = config;
    if (config.clipQkv !== undefined) {
      throw new ConfigError(
        `loadModel: clip_qkv is ${config.clipQkv}; this build has models without clipping only`,
        "clip_qkv",
      );
    }
    const table = set.one("model.embed_tokens.weight", [V, D]);
    const embedding = new Linear(["model.embed_tokens"], table);
    const blocks = Array.from({ length: config.numHiddenLayers }, (_, layer) => this.block(layer));
    const norm = this.norm("model.norm", D);
    const head = config.tieWordEmbeddings ? new Linear(["lm_head"], table) : this.linear("lm_head", V, D);
    if (config.tieWordEmbeddings) this.linears.push(head);
    const { invFreq, attentionFactor } = inverseFrequencies(config);
    return new Model(config, set, {
      embedding,
      blocks,
      norm,
      head,
      invFreq: owned(set.device.tensor(Float32Array.from(invFreq), [invFreq.length]), "inverse frequencies"),
      ropeScale: attentionFactor,
      linears: this.linears,
    });
  }

  private block(layer: number): Block {
    const { config } = this;
    const at = `model.layers.${layer}`;
    return new Block(
      at,
      this.norm(`${at}.input_layernorm`, config.hiddenSize),
      this.attention(`${at}.self_attn`, layer),
      this.norm(`${at}.post_attention_layernorm`, config.hiddenSize),
      config.isMoeLayer(layer)
        ? this.experts(at, this.family.moe!)
        : this.mlp(`${at}.mlp`, config.intermediateSize),
    );
  }

  private attention(at: string, layer: number): SelfAttention {
    const { config } = this;
    const { hiddenSize: D, numAttentionHeads: heads, numKeyValueHeads: kvHeads, headDim } = config;
    const norm = (name: string, count: number): RmsNorm | undefined =>
      config.qkNorm === "none"
        ? undefined
        : this.norm(`${at}.${name}`, config.qkNorm === "head" ? headDim : count * headDim);
    const parts = {
      q: this.linear(`${at}.q_proj`, heads * headDim, D, config.qkvBias),
      k: this.linear(`${at}.k_proj`, kvHeads * headDim, D, config.qkvBias),
      v: this.linear(`${at}.v_proj`, kvHeads * headDim, D, config.qkvBias),
      o: this.linear(`${at}.o_proj`, D, heads * headDim, config.attentionBias),
      qNorm: norm("q_norm", heads),
      kNorm: norm("k_norm", kvHeads),
      heads,
      kvHeads,
      window: config.windowOf(layer),
    };
    return new SelfAttention(parts, layer);
  }

  private mlp(at: string, F: number): Mlp {
    const { hiddenSize: D } = this.config;
    return new Mlp(
      this.linear(`${at}.gate_proj`, F, D),
      this.linear(`${at}.up_proj`, F, D),
      this.linear(`${at}.down_proj`, D, F),
    );
  }

  private experts(layer: string, names: NonNullable<Family["moe"]>): SparseMoe {
    const { config, set } = this;
    const { hiddenSize: D, moeIntermediateSize: F, numExperts: E } = config;
    const at = `${layer}.${names.block}`;
    const stack = (name: string, out: number, into: number): Linear => {
      const modules = Array.from({ length: E }, (_, e) => `${at}.experts.${e}.${name}`);
      const linear = new Linear(
        modules,
        set.stack(
          modules.map((module) => `${module}.weight`),
          [out, into],
        ),
      );
      this.linears.push(linear);
      return linear;
    };
    // The router is no target of adapters: it is not among the linears.
    const router = new Linear([`${at}.gate`], set.one(`${at}.gate.weight`, [E, D]));
    const parts = {
      router,
      gate: stack(names.gate, F, D),
      up: stack(names.up, F, D),
      down: stack(names.down, D, F),
    };
    const shared = config.sharedExpertIntermediateSize
      ? {
          mlp: this.mlp(`${at}.shared_expert`, config.sharedExpertIntermediateSize),
          gate: this.linear(`${at}.shared_expert_gate`, 1, D),
        }
      : undefined;
    return new SparseMoe({
      ...parts,
      shared,
      topK: config.numExpertsPerTok,
      renormalize: config.normTopkProb,
    });
  }

  private norm(module: string, size: number): RmsNorm {
    return new RmsNorm(module, this.set.one(`${module}.weight`, [size], "norm"), this.config.rmsNormEps);
  }

  private linear(module: string, out: number, into: number, bias = false): Linear {
    const weight = this.set.one(`${module}.weight`, [out, into]);
    const linear = new Linear(
      [module],
      weight,
      bias ? this.set.one(`${module}.bias`, [out], "bias") : undefined,
    );
    this.linears.push(linear);
    return linear;
  }
}
