// T tokens, D hidden, B documents
import { owned } from "../core/device.ts";
import { ConfigError, FormatError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import { run } from "../core/run.ts";
import { scope } from "../core/scope.ts";
import type { Tensor } from "../core/tensor.ts";
import { readSafetensorsAtOnce, writeSafetensors } from "../io/safetensors.ts";
import { gatherRows } from "../ops/gather_rows.ts";
import { linear } from "../ops/linear.ts";
import type { TokenBatch } from "../text/token_batch.ts";
import type { ForwardOptions, Model } from "./model.ts";

/** The name that Hugging Face's sequence classifiers give it. */
const kWeight = "score.weight";

/**
 * A linear layer from the final hidden states to one number, f32, without a bias: of a document's last token it is a reward, of
 * every token a value. It trains along with whatever of the model does.
 */
export class ScoreHead {
  readonly params: Record<string, Tensor>;

  /** @internal Use `attachRewardHead`. */
  constructor(
    readonly model: Model,
    private readonly weight: Tensor,
  ) {
    this.params = { [kWeight]: weight };
  }

  /** The reward of each document, of its last token, [B] f32. Throws ConfigError for an empty document. */
  rewards(batch: TokenBatch, options: ForwardOptions = {}): Tensor {
    return scope(() =>
      this.rewardsOf(this.model.forward(this.model.upload(batch), options).hidden, batch.offsets),
    );
  }

  /** @internal The same from hidden states [T, D]. */
  rewardsOf(hidden: Tensor, offsets: Int32Array): Tensor {
    const ends = offsets.slice(1).map((end) => end - 1);
    const empty = ends.findIndex((end, d) => end < offsets[d]!);
    if (empty >= 0)
      throw new ConfigError(`rewards: document ${empty} is empty, at least one token was needed`, "batch");
    return this.valuesOf(gatherRows(hidden, hidden.device.tensor(ends, [ends.length])));
  }

  /** The value of each token, [T] f32. */
  values(batch: TokenBatch, options: ForwardOptions = {}): Tensor {
    return scope(() => this.valuesOf(this.model.forward(this.model.upload(batch), options).hidden));
  }

  /** @internal The same from hidden states [T, D]. */
  valuesOf(hidden: Tensor): Tensor {
    const T = hidden.shape[0]!;
    return this.model.device.at("score", () => linear(hidden, this.weight, { dtype: "f32" }).view([T]));
  }

  /** Writes the weight to a .safetensors file, as `score.weight` [1, D] f32. */
  async save(file: string): Promise<void> {
    const { shape } = this.weight;
    const bytes = () => this.weight.bytesData();
    await writeSafetensors(file, [{ name: kWeight, dtype: "F32", shape, bytes }]);
  }

  dispose(): void {
    this.weight.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

export interface RewardHeadOptions {
  /** A .safetensors file with `score.weight`. Default: random, normal with the model's initializer_range. */
  weights?: string;
  /** Default 0. */
  seed?: number;
}

/**
 * Puts a head for one number on a model: a reward model, or the value function of PPO. Throws FormatError for a file whose
 * `score.weight` isn't there or doesn't fit.
 */
export function attachRewardHead(model: Model, options: RewardHeadOptions = {}): ScoreHead {
  refuseUnknown("attachRewardHead", options, ["weights", "seed"]);
  model.requireLive("attachRewardHead");
  const { weights, seed = 0 } = options;
  const { hiddenSize: D, initializerRange } = model.config;
  const stored = weights === undefined ? undefined : readWeight(weights, D);
  const weight = owned(model.device.empty([1, D]), kWeight);
  if (stored) weight.write(stored.bytes, stored.dtype);
  else run("random_normal", weight, 0, initializerRange, seed, 0);
  return new ScoreHead(model, weight);
}

const formats: Readonly<Record<string, "f32" | "bf16" | "f16">> = { F32: "f32", BF16: "bf16", F16: "f16" };

/** `score.weight` of a file, which is small: read at once. */
function readWeight(file: string, D: number): { bytes: Uint8Array; dtype: "f32" | "bf16" | "f16" } {
  const { tensors, data } = readSafetensorsAtOnce(file);
  const entry = tensors.get(kWeight);
  const dtype = formats[entry?.dtype ?? ""];
  if (!entry || !dtype || entry.shape.join() !== `1,${D}`) {
    const is = entry
      ? `is [${entry.shape.join(", ")}] ${entry.dtype}`
      : `isn't among ${[...tensors.keys()].join(", ")}`;
    throw new FormatError(`attachRewardHead: ${kWeight} ${is} in ${file}, [1, ${D}] was needed`, file);
  }
  return { bytes: data.slice(entry.begin, entry.end), dtype };
}

/** What trains below a score head: an attached adapter, or all of the model but a head for tokens of its own. */
export function bodyParams(model: Model): Record<string, Tensor> {
  const { "lm_head.weight": _, ...body } = model.adapter?.params ?? model.params;
  return body;
}
