// T tokens, D hidden, E experts, K chosen (of a linear: its inputs), N outputs, r rank
import type { Adapter } from "../lib/adapters/adapter.ts";
import { type AttachOptions, attachDora, attachLora } from "../lib/adapters/attach.ts";
import type { Device } from "../lib/core/device.ts";
import { bytesOf, type DType } from "../lib/core/dtype.ts";
import { createModel } from "../lib/models/create.ts";
import type { Model } from "../lib/models/model.ts";
import { adamw } from "../lib/optim/adamw.ts";
import { chain } from "../lib/optim/chain.ts";
import { clipByGlobalNorm } from "../lib/optim/clip.ts";
import { packBatch, type TokenBatch } from "../lib/text/token_batch.ts";
import { lossParts } from "../lib/train/loss.ts";
import { TrainStep } from "../lib/train/step.ts";
import type { Cost } from "./workload.ts";

/** What a whole training step trains: a model, or an adapter on it while the model stays as it is. */
export interface Subject {
  title: string;
  config: Readonly<Record<string, unknown>>;
  adapter?: { kind: "lora" | "dora"; options: AttachOptions };
  /** Of random tokens. Default: 4 × 512. */
  documents?: { count: number; length: number };
  /** Default: gradients are clipped. */
  clip?: false;
}

const sizes = {
  vocab_size: 8192,
  hidden_size: 512,
  num_hidden_layers: 4,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  max_position_embeddings: 512,
};
const mixtral = {
  ...sizes,
  model_type: "mixtral",
  intermediate_size: 1024,
  num_local_experts: 8,
  num_experts_per_tok: 2,
};
const olmoe = {
  ...sizes,
  model_type: "olmoe",
  intermediate_size: 128,
  num_experts: 64,
  num_experts_per_tok: 8,
  router_aux_loss_coef: 0,
};
const small = {
  model_type: "mixtral",
  vocab_size: 4096,
  hidden_size: 256,
  intermediate_size: 512,
  num_hidden_layers: 6,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  max_position_embeddings: 256,
  num_local_experts: 8,
  num_experts_per_tok: 2,
};
const everywhere: AttachOptions = { rank: 16, alpha: 32, targets: "all-linear" };
const onAttention: AttachOptions = { ...everywhere, targets: ["q_proj", "k_proj", "v_proj", "o_proj"] };

export const subjects = {
  mixtral: { title: "Mixtral E 8 K 2 F 1024", config: mixtral },
  olmoe: { title: "OLMoE E 64 K 8 F 128", config: olmoe },
  small: {
    title: "small MoE, 6 layers D 256 E 8 K 2 F 512 V 4096, 8 × 256 tokens",
    config: small,
    documents: { count: 8, length: 256 },
    clip: false,
  },
  dora: {
    title: "Mixtral, DoRA r 16 on all linears",
    config: mixtral,
    adapter: { kind: "dora", options: everywhere },
  },
  lora: {
    title: "Mixtral, LoRA r 16 on all linears",
    config: mixtral,
    adapter: { kind: "lora", options: everywhere },
  },
  doraAttention: {
    title: "Mixtral, DoRA r 16 on attention",
    config: mixtral,
    adapter: { kind: "dora", options: onAttention },
  },
} satisfies Record<string, Subject>;

const usualDocuments = { count: 4, length: 512 };

export interface Step {
  model: Model;
  adapter: Adapter | undefined;
  batch: TokenBatch;
  tokens: number;
  /** Enqueues one step: forward, backward, clipping, AdamW. The promise is of its loss. */
  enqueue: () => Promise<number>;
  costs: { forward: Cost; backward: Cost; update: Cost };
}

/** The subject's model, the same weights each time. */
export const modelOf = ({ config }: Subject, device: Device, dtype: DType): Model =>
  createModel(config, { device, dtype, seed: 1 });

/** Random tokens, the same each time. */
export const batchOf = ({ config, documents = usualDocuments }: Subject): TokenBatch =>
  packBatch(randomDocuments(config.vocab_size as number, documents));

/** A model with random weights and what trains it on one batch of random tokens. */
export function trainingStep(device: Device, dtype: DType, subject: Subject): Step {
  const { adapter: wanted, documents = usualDocuments, clip = true } = subject;
  const model = modelOf(subject, device, dtype);
  const attach = wanted?.kind === "dora" ? attachDora : attachLora;
  const adapter = wanted && attach(model, wanted.options);
  const batch = batchOf(subject);
  const params = adapter?.params ?? model.params;
  const update = adamw({ lr: 1e-3, betas: [0.9, 0.95], weightDecay: 0.1 });
  const optimizer = (clip ? chain(clipByGlobalNorm(1), update) : update).init(params);
  const step = new TrainStep(
    model,
    params,
    { loss: (part, targets) => lossParts(model, part, { targets }) },
    0,
  );
  let done = 0;
  return {
    model,
    adapter,
    batch,
    tokens: batch.tokens.length,
    enqueue: async () => (await step.run(++done, [batch], optimizer).scalars).loss!,
    costs: costsOf(model, adapter, documents),
  };
}

type Documents = NonNullable<Subject["documents"]>;

function randomDocuments(vocabulary: number, { count, length }: Documents): number[][] {
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * vocabulary);
  };
  return Array.from({ length: count }, () => Array.from({ length }, next));
}

/** Useful work by formula: products with the weights a token uses, attention over the pairs that causality leaves. */
function costsOf(model: Model, adapter: Adapter | undefined, { count, length }: Documents): Step["costs"] {
  const T = count * length;
  const { config, parts } = model;
  const { numExperts: E, numExpertsPerTok, hiddenSize: D, numHiddenLayers: layers } = config;
  const rowsOf = (linear: { grouped: boolean }): number => (linear.grouped ? T * numExpertsPerTok : T);
  const pairs = (count * length * (length + 1)) / 2;
  const attention = layers * 4 * config.numAttentionHeads * config.headDim * pairs;
  const products =
    2 * T * layers * E * D +
    sum(parts.linears, (linear) => 2 * rowsOf(linear) * linear.outFeatures * linear.inFeatures);
  const low = { products: 0, norms: 0 };
  for (const { layer, parts } of adapter?.layers ?? []) {
    const [r, K, N] = [parts.a.shape.at(-2)!, layer.inFeatures, layer.outFeatures];
    low.products += 2 * rowsOf(layer) * r * (K + N);
    if (parts.magnitude) low.norms += 2 * layer.modules.length * (N * K * r + N * r * r + K * r * r);
  }
  const each = bytesOf[model.dtype];
  const bytes = each * sum(Object.values(model.params), ({ size }) => size);
  const trained = sum(Object.values(adapter?.params ?? model.params), ({ size }) => size);
  const masters = adapter === undefined && model.dtype === "bf16";
  return {
    forward: { flops: products + attention + low.products + low.norms, reads: bytes, writes: 0 },
    backward: {
      flops: (adapter ? 1 : 2) * products + 2 * (attention + low.products),
      reads: bytes,
      writes: 4 * trained,
    },
    update: { reads: 16 * trained, writes: (masters ? 14 : 12) * trained, inPlace: true },
  };
}

const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((total, item) => total + of(item), 0);
