// How the models of the studies of experts are made and trained.
import {
  adamw,
  chain,
  clipByGlobalNorm,
  createModel,
  type Device,
  type Model,
  mix,
  pretrain,
  schedule,
  type TokenBatch,
} from "../../../lib/index.ts";
import { kBatchTokens, kMaxLength, type Language } from "./language.ts";

export interface Sizes {
  vocabSize: number;
  hidden: number;
  layers: number;
  experts: number;
  /** Experts a token passes. */
  topK: number;
  /** Width of one expert. A dense model's is topK times that: as many products a token, the router's aside. */
  expertWidth: number;
  /** Updates of 512 tokens. */
  steps: number;
  /** Highest learning rate of every model. */
  lr: number;
}

/** What keeps the experts' load even. */
export interface Balance {
  /** Weight of Switch's load-balancing loss. */
  auxLossCoef?: number;
  routerBiasRate?: number;
}

export function configOf(sizes: Sizes, sparse: boolean): Record<string, unknown> {
  const { experts, topK, expertWidth } = sizes;
  return {
    model_type: sparse ? "mixtral" : "llama",
    vocab_size: sizes.vocabSize,
    hidden_size: sizes.hidden,
    intermediate_size: sparse ? expertWidth : topK * expertWidth,
    num_hidden_layers: sizes.layers,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    ...(sparse && { num_local_experts: experts, num_experts_per_tok: topK }),
    max_position_embeddings: kMaxLength,
    rope_theta: 10_000,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
    bos_token_id: null,
    eos_token_id: 0,
  };
}

export interface Trained {
  model: Model;
  /** Mean held-out cross-entropy a token, in nats, at some of the updates. */
  curve: { step: number; loss: number }[];
}

export interface TrainingOptions {
  sizes: Sizes;
  sparse: boolean;
  balance?: Balance;
  /** Share of each kind of text in the tokens, in the order of the language's. */
  weights: readonly number[];
  /** Decides initial weights and the order of documents. */
  seed: number;
  validation?: { batches: readonly TokenBatch[]; times: number };
}

/** A model trained on a mixture of texts, each document seen as often as its kind's share asks for. The caller disposes it. */
export async function trainOn(
  device: Device,
  { domains }: Language,
  { sizes, sparse, balance = {}, weights, seed, validation }: TrainingOptions,
): Promise<Trained> {
  const { steps, lr: peak } = sizes;
  const model = createModel(configOf(sizes, sparse), { device, seed });
  const lr = schedule.warmupCosine({
    peak,
    min: peak / 10,
    warmupSteps: Math.ceil(steps / 20),
    totalSteps: steps,
  });
  const curve: Trained["curve"] = [];
  const training = pretrain({
    model,
    data: mix(
      domains.map(({ name, corpus }, k) => ({
        name: name.replace(" ", "-"),
        data: corpus,
        weight: weights[k]!,
      })),
      { seed },
    ),
    batchTokens: kBatchTokens,
    maxLength: kMaxLength,
    optimizer: chain(
      clipByGlobalNorm(1),
      adamw({ lr, betas: [0.9, 0.95], weightDecay: 0.1, decay: (_, shape) => shape.length > 1 }),
    ),
    steps,
    seed,
    ...balance,
    auxLoss: "switch",
    ...(validation && {
      validation: {
        every: Math.ceil(steps / validation.times),
        sets: { heldOut: validation.batches },
      },
    }),
  });
  for await (const m of training) if (m.validation) curve.push({ step: m.step, loss: m.validation.heldOut! });
  return { model, curve };
}
