// T tokens, D model, E experts, K chosen, F hidden (of a grouped product: its outputs), N outputs, r rank, V vocabulary
import type { Sizes } from "../peers/moe_cases.ts";
import type { Subject } from "../training_step.ts";
import { type Effort, usual } from "./race.ts";

/** The sizes of performance.md §4.2, and ones at which an emulated device and a slow CPU get through. */
export interface Shapes {
  effort: Effort;
  copyBytes: number;
  dense: readonly number[];
  grouped: Readonly<Record<string, Sizes>>;
  layer: Omit<Sizes, "T">;
  /** Tokens, as the figures name them. */
  tokens: Readonly<Record<"T8k" | "T32k", number>>;
  lora: { T: number; r: number };
  norm: { sides: readonly number[]; r: number; stacked: { E: number; N: number; K: number; r: number } };
  head: { T: number; D: number; V: number; chunk: number };
  adamw: { count: number; side: number };
  step: Pick<Subject, "config" | "documents"> & { rank: number };
}

const qwen = {
  model_type: "qwen3_moe",
  hidden_size: 2048,
  intermediate_size: 6144,
  moe_intermediate_size: 768,
  num_hidden_layers: 2,
  num_attention_heads: 32,
  num_key_value_heads: 4,
  head_dim: 128,
  num_experts: 128,
  num_experts_per_tok: 8,
  norm_topk_prob: true,
  vocab_size: 32768,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-6,
  router_aux_loss_coef: 0,
};

export const real: Shapes = {
  effort: usual,
  copyBytes: 2 ** 32,
  dense: [4096, 8192],
  grouped: {
    "Qwen3-30B": { E: 128, K: 8, D: 2048, F: 1536, T: 8192 },
    Mixtral: { E: 8, K: 2, D: 4096, F: 14336, T: 8192 },
    E512: { E: 512, K: 10, D: 2048, F: 512, T: 8192 },
  },
  layer: { E: 128, K: 8, D: 2048, F: 768 },
  tokens: { T8k: 8192, T32k: 32768 },
  lora: { T: 4096, r: 16 },
  norm: { sides: [4096, 8192], r: 64, stacked: { E: 128, N: 768, K: 2048, r: 16 } },
  head: { T: 8192, D: 4096, V: 131072, chunk: 1024 },
  adamw: { count: 32, side: 2048 },
  step: { config: qwen, documents: { count: 2, length: 2048 }, rank: 16 },
};

export const tiny: Shapes = {
  effort: { warmups: 2, rounds: 3, sampleSeconds: 0 },
  copyBytes: 2 ** 16,
  dense: [64],
  grouped: { few: { E: 4, K: 2, D: 32, F: 48, T: 24 } },
  layer: { E: 4, K: 2, D: 64, F: 32 },
  tokens: { T8k: 24, T32k: 40 },
  lora: { T: 24, r: 4 },
  norm: { sides: [48], r: 4, stacked: { E: 3, N: 24, K: 32, r: 4 } },
  head: { T: 24, D: 32, V: 200, chunk: 8 },
  adamw: { count: 3, side: 32 },
  step: {
    config: {
      ...qwen,
      hidden_size: 32,
      intermediate_size: 64,
      moe_intermediate_size: 16,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 1,
      head_dim: 16,
      num_experts: 4,
      num_experts_per_tok: 2,
      vocab_size: 96,
    },
    documents: { count: 2, length: 16 },
    rank: 4,
  },
};
