import type { Device } from "../../lib/core/device.ts";
import { createModel } from "../../lib/models/create.ts";
import type { Model } from "../../lib/models/model.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { chain } from "../../lib/optim/chain.ts";
import { clipByGlobalNorm } from "../../lib/optim/clip.ts";
import { packBatch, type TokenBatch } from "../../lib/text/token_batch.ts";

/** A sparse model of a few thousand parameters. */
export const tinyMoe = (device: Device, seed = 1): Model =>
  createModel(
    {
      model_type: "mixtral",
      vocab_size: 64,
      hidden_size: 16,
      intermediate_size: 24,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      num_key_value_heads: 1,
      num_local_experts: 4,
      num_experts_per_tok: 2,
      max_position_embeddings: 64,
    },
    { device, seed },
  );

/** Five batches of three documents each, the same every time. */
export const tinyData = (): TokenBatch[] =>
  Array.from({ length: 5 }, (_, b) =>
    packBatch(
      [9, 14, 6].map((length, d) => Array.from({ length }, (_, i) => (b * 17 + d * 5 + i * 3 + 1) % 64)),
    ),
  );

export const tinyOptimizer = (lr = 3e-3) => chain(clipByGlobalNorm(1), adamw({ lr, weightDecay: 0.01 }));
