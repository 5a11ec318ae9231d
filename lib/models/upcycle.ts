import { ConfigError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { withoutGrad } from "../core/tape.ts";
import { copyInto } from "../ops/add.ts";
import { parseModelConfig } from "./config.ts";
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
export function upcycle(dense: Model, { experts, topK, routerStd, seed = 0 }: UpcycleOptions): Model {
  const { raw, modelType } = dense.config;
  const sparse = sparseModelConfig(raw, modelType, experts, topK);
  const model = buildModel(parseModelConfig(sparse), dense.device, dense.dtype);
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
  if (dense.origin) model.origin = { dir: dense.origin.dir, dtypes: new Map(), shards: undefined };
  return model;
}

function sparseModelConfig(
  raw: Readonly<Record<string, unknown>>,
  modelType: string,
  experts: number,
  topK: number,
): Record<string, unknown> {
  if (modelType === "llama") {
    return {
      ...raw,
      model_type: "mixtral",
      architectures: ["MixtralForCausalLM"],
      num_local_experts: experts,
      num_experts_per_tok: topK,
      sliding_window: null,
    };
  }
  if (modelType === "qwen3") {
    return {
      ...raw,
      model_type: "qwen3_moe",
      architectures: ["Qwen3MoeForCausalLM"],
      num_experts: experts,
      num_experts_per_tok: topK,
      moe_intermediate_size: raw.intermediate_size,
      norm_topk_prob: true,
      decoder_sparse_step: 1,
      mlp_only_layers: [],
    };
  }
  throw new ConfigError(
    `upcycle: model_type is "${modelType}", a dense llama or qwen3 model was needed`,
    "model_type",
  );
}
