import { Random } from "../../lib/core/random.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { createModel } from "../../lib/models/create.ts";
import type { Model } from "../../lib/models/model.ts";

export const families = ["llama", "qwen3", "mixtral", "olmoe", "qwen2_moe", "qwen3_moe"] as const;
export type FamilyName = (typeof families)[number];

const kExperts: Record<FamilyName, object> = {
  llama: { intermediate_size: 24 },
  qwen3: { intermediate_size: 24 },
  mixtral: { intermediate_size: 24, num_local_experts: 4, num_experts_per_tok: 2 },
  olmoe: { intermediate_size: 24, num_experts: 4, num_experts_per_tok: 2 },
  qwen2_moe: {
    moe_intermediate_size: 24,
    shared_expert_intermediate_size: 20,
    num_experts: 4,
    num_experts_per_tok: 2,
  },
  qwen3_moe: { moe_intermediate_size: 24, num_experts: 4, num_experts_per_tok: 2 },
};

/** A model of a few thousand random parameters, large enough to matter to the logits. */
export function tinyModel(
  family: FamilyName,
  options: Parameters<typeof createModel>[1],
  fields: object = {},
): Model {
  const sizes = {
    vocab_size: 40,
    hidden_size: 16,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 8,
    max_position_embeddings: 64,
    initializer_range: 0.3,
    pad_token_id: null,
    eos_token_id: 2,
  };
  const { head_dim, ...rest } = sizes;
  const headDim = family === "olmoe" || family === "qwen2_moe" ? {} : { head_dim };
  return createModel({ model_type: family, ...rest, ...headDim, ...kExperts[family], ...fields }, options);
}

/** Overwrites the tensors whose name contains `part` with normal numbers. */
export function randomize(
  tensors: Record<string, Tensor>,
  part: string,
  { seed = 1, scale = 0.2 } = {},
): void {
  const random = new Random(seed);
  for (const [name, tensor] of Object.entries(tensors)) {
    if (name.includes(part))
      tensor.write(
        Float32Array.from({ length: tensor.size }, () => scale * random.normal()),
        "f32",
      );
  }
}
