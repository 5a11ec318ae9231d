import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import { run } from "../core/run.ts";
import { withoutGrad } from "../core/tape.ts";
import { copyInto } from "../ops/add.ts";
import { completeConfig, type ModelConfig, parseModelConfig } from "./config.ts";
import { buildModel } from "./decoder.ts";
import { families } from "./families.ts";
import type { Model } from "./model.ts";

export interface UpcycleOptions {
  /** Experts of each layer. */
  experts: number;
  /** Experts a token passes. */
  topK: number;
  /** Initial routers: normal with this standard deviation. Default the config's initializer_range. */
  routerStd?: number;
  seed?: number;
}

/**
 * Sparse upcycling (Komatsuzaki et al. 2022): a dense llama model becomes mixtral, a qwen3 model qwen3_moe, each MLP copied
 * into every expert. The weights of the chosen experts sum to 1, so the logits don't change. The dense model stays as it is.
 * Throws ConfigError for a model that is sparse already or of another type.
 */
export function upcycle(dense: Model, options: UpcycleOptions): Model {
  refuseUnknown("upcycle", options, ["experts", "topK", "routerStd", "seed"]);
  const { experts, topK, routerStd, seed = 0 } = options;
  if (!Number.isSafeInteger(experts) || experts < 1)
    throw new ConfigError(`upcycle: experts is ${experts}, a whole number from 1 was needed`, "experts");
  const sparse = sparseModelConfig(dense.config, experts, topK);
  const model = buildModel(parseModelConfig(sparse, "upcycle: the config"), dense.device, dense.dtype);
  const names = families[model.config.modelType].moe!;
  const renamed: Record<string, string> = {
    [names.gate]: "gate_proj",
    [names.up]: "up_proj",
    [names.down]: "down_proj",
  };
  let stream = 0;
  withoutGrad(() => {
    for (const [name, tensor] of Object.entries(model.params)) {
      const expert = /^(model\.layers\.\d+\.)\w+\.experts\.\d+\.(\w+)\.weight$/.exec(name);
      const source = expert ? `${expert[1]}mlp.${renamed[expert[2]!]}.weight` : name;
      const from = dense.params[source];
      if (from !== undefined) copyInto(from, tensor);
      else run("random_normal", tensor, 0, routerStd ?? model.config.initializerRange, seed, stream++);
    }
  });
  if (dense.origin) model.origin = { ...dense.origin, dtypes: new Map(), shards: undefined };
  return model;
}

function sparseModelConfig(
  { raw, modelType, numKeyValueHeads, headDim, attentionBias, slidingWindow, intermediateSize }: ModelConfig,
  experts: number,
  topK: number,
): Record<string, unknown> {
  if (modelType !== "llama" && modelType !== "qwen3") {
    throw new ConfigError(
      `upcycle: model_type is "${modelType}", a dense llama or qwen3 model was needed`,
      "model_type",
    );
  }
  if (slidingWindow !== undefined)
    throw new ConfigError(
      `upcycle: sliding_window is ${slidingWindow}, a model without was needed`,
      "sliding_window",
    );
  // The sparse family's defaults are others, so none may be left open.
  const { layer_types: _, ...completed } = completeConfig(raw);
  const same = {
    ...completed,
    num_key_value_heads: numKeyValueHeads,
    head_dim: headDim,
    sliding_window: null,
  };
  if (modelType === "llama") {
    if (attentionBias)
      throw new ConfigError("upcycle: attention_bias is true, which mixtral does not have", "attention_bias");
    return {
      ...same,
      model_type: "mixtral",
      architectures: ["MixtralForCausalLM"],
      num_local_experts: experts,
      num_experts_per_tok: topK,
    };
  }
  return {
    ...same,
    model_type: "qwen3_moe",
    architectures: ["Qwen3MoeForCausalLM"],
    num_experts: experts,
    num_experts_per_tok: topK,
    moe_intermediate_size: intermediateSize,
    norm_topk_prob: true,
    decoder_sparse_step: 1,
    mlp_only_layers: [],
  };
}
