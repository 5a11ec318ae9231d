/** Hugging Face's `model_type` of the families this build knows. */
export type ModelType = "llama" | "qwen3" | "mixtral" | "olmoe" | "qwen2_moe" | "qwen3_moe";

export interface FamilyDefaults {
  readonly architecture: string;
  /** RMS norm on queries and keys: none, over each head's dimensions, or over the full projection. */
  readonly qkNorm: "none" | "head" | "full";
  /** Sizes that a config for a new model must name, as no default is likely to be meant. */
  readonly required: readonly string[];
  /** Every field the family reads, with transformers' value where config.json leaves it out. */
  readonly fields: Readonly<Record<string, unknown>>;
}

const kEveryModel = {
  head_dim: null,
  hidden_act: "silu",
  initializer_range: 0.02,
  attention_dropout: 0,
  tie_word_embeddings: false,
  rope_theta: 10_000,
  rope_scaling: null,
  rope_parameters: null,
  partial_rotary_factor: 1,
  pad_token_id: null,
  bos_token_id: null,
  eos_token_id: null,
};
const kRouted = { output_router_logits: false, router_aux_loss_coef: 0.001 };
const kWindowed = { use_sliding_window: false, sliding_window: 4096 };
const kSparseLayers = { decoder_sparse_step: 1, mlp_only_layers: [] };

const kSizes = ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"];

/** From transformers' configuration_<family>.py, v5 (read 2026-11); v4 has the same values. */
export const kFamilies: Readonly<Record<ModelType, FamilyDefaults>> = {
  llama: {
    architecture: "LlamaForCausalLM",
    qkNorm: "none",
    required: [...kSizes, "intermediate_size"],
    fields: {
      ...kEveryModel,
      vocab_size: 32_000,
      hidden_size: 4096,
      intermediate_size: 11_008,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: null,
      max_position_embeddings: 2048,
      rms_norm_eps: 1e-6,
      attention_bias: false,
      mlp_bias: false,
      bos_token_id: 1,
      eos_token_id: 2,
    },
  },
  qwen3: {
    architecture: "Qwen3ForCausalLM",
    qkNorm: "head",
    required: [...kSizes, "intermediate_size"],
    fields: {
      ...kEveryModel,
      ...kWindowed,
      vocab_size: 151_936,
      hidden_size: 4096,
      intermediate_size: 22_016,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 32,
      head_dim: 128,
      max_position_embeddings: 32_768,
      rms_norm_eps: 1e-6,
      attention_bias: false,
      max_window_layers: 28,
      layer_types: null,
    },
  },
  mixtral: {
    architecture: "MixtralForCausalLM",
    qkNorm: "none",
    required: [...kSizes, "intermediate_size"],
    fields: {
      ...kEveryModel,
      ...kRouted,
      vocab_size: 32_000,
      hidden_size: 4096,
      intermediate_size: 14_336,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      max_position_embeddings: 131_072,
      rms_norm_eps: 1e-5,
      rope_theta: 1e6,
      sliding_window: null,
      num_local_experts: 8,
      num_experts_per_tok: 2,
      router_jitter_noise: 0,
      bos_token_id: 1,
      eos_token_id: 2,
    },
  },
  olmoe: {
    architecture: "OlmoeForCausalLM",
    qkNorm: "full",
    required: [...kSizes, "intermediate_size"],
    fields: {
      ...kEveryModel,
      ...kRouted,
      vocab_size: 50_304,
      hidden_size: 2048,
      intermediate_size: 2048,
      num_hidden_layers: 16,
      num_attention_heads: 16,
      num_key_value_heads: null,
      max_position_embeddings: 4096,
      rms_norm_eps: 1e-5,
      attention_bias: false,
      clip_qkv: null,
      num_experts: 64,
      num_experts_per_tok: 8,
      norm_topk_prob: false,
      router_aux_loss_coef: 0.01,
      pad_token_id: 1,
      eos_token_id: 50_279,
    },
  },
  qwen2_moe: {
    architecture: "Qwen2MoeForCausalLM",
    qkNorm: "none",
    required: [...kSizes, "moe_intermediate_size", "shared_expert_intermediate_size"],
    fields: {
      ...kEveryModel,
      ...kRouted,
      ...kWindowed,
      ...kSparseLayers,
      vocab_size: 151_936,
      hidden_size: 2048,
      intermediate_size: 5632,
      num_hidden_layers: 24,
      num_attention_heads: 16,
      num_key_value_heads: 16,
      max_position_embeddings: 32_768,
      rms_norm_eps: 1e-6,
      qkv_bias: true,
      max_window_layers: 28,
      layer_types: null,
      moe_intermediate_size: 1408,
      shared_expert_intermediate_size: 5632,
      num_experts: 60,
      num_experts_per_tok: 4,
      norm_topk_prob: false,
    },
  },
  qwen3_moe: {
    architecture: "Qwen3MoeForCausalLM",
    qkNorm: "head",
    required: [...kSizes, "moe_intermediate_size"],
    fields: {
      ...kEveryModel,
      ...kRouted,
      ...kWindowed,
      ...kSparseLayers,
      vocab_size: 151_936,
      hidden_size: 2048,
      intermediate_size: 6144,
      num_hidden_layers: 24,
      num_attention_heads: 32,
      num_key_value_heads: 4,
      max_position_embeddings: 32_768,
      rms_norm_eps: 1e-6,
      attention_bias: false,
      moe_intermediate_size: 768,
      num_experts: 128,
      num_experts_per_tok: 8,
      norm_topk_prob: false,
    },
  },
};

/** Fields that any family's config.json may hold and that change nothing here. */
export const kWithoutEffect: readonly string[] = [
  "_name_or_path",
  "architectures",
  "dtype",
  "max_window_layers",
  "model_type",
  "pretraining_tp",
  "quantization_config",
  "torch_dtype",
  "transformers_version",
  "unk_token_id",
  "use_cache",
];
