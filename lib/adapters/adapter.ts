import { ConfigError, DisposedError } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Model } from "../models/model.ts";
import type { Linear } from "../nn/linear.ts";
import type { RmsNorm } from "../nn/rms_norm.ts";
import { copyInto } from "../ops/add.ts";
import type { FusedPair } from "./fused_experts.ts";
import type { LowRank } from "./low_rank.ts";

/** A module that the adapter replaces as a whole (PEFT's modules_to_save). */
export interface SavedModule {
  module: Linear | RmsNorm;
  own: Tensor;
  base: Tensor;
}

/** A weight that a merge changed, as it was. */
export interface Original {
  weight: Tensor;
  copy: Tensor;
}

/** Gives weights the very bits they had. */
export function putBack(originals: readonly Original[]): void {
  for (const { weight, copy } of originals) copyInto(copy, weight);
}

/** What was asked for: PEFT's fields under our names. */
export interface AdapterConfig {
  rank: number;
  alpha: number;
  targets: readonly string[] | string;
  exclude?: readonly string[] | string | undefined;
  layers?: readonly number[] | undefined;
  rslora: boolean;
  dora: boolean;
  dropout: number;
  rankPattern: Readonly<Record<string, number>>;
  alphaPattern: Readonly<Record<string, number>>;
  modulesToSave: readonly string[];
  /** Read from PEFT's `target_parameters`: fused experts with a shared A for gate and up. */
  targetParameters: readonly string[];
}

/** LoRA or DoRA on a model. One adapter is attached at a time; `dispose` detaches it. */
export class Adapter {
  private active = false;
  private disposed = false;
  private originals: Original[] | undefined;

  /** @internal Use attachLora, attachDora or loadAdapter. */
  constructor(
    readonly model: Model,
    readonly config: AdapterConfig,
    /** PEFT key without "base_model.model." → tensor, f32. Experts are parts of one stacked tensor. */
    readonly params: Record<string, Tensor>,
    readonly layers: readonly LowRank[],
    readonly saved: readonly SavedModule[],
    /** @internal Tensors that PEFT lays out in another way. */
    readonly fused: readonly FusedPair[],
    private readonly memory: readonly Tensor[],
  ) {
    model.adapter = this;
    this.on();
  }

  /** Is the model running with the adapter? */
  get isOn(): boolean {
    return this.active;
  }

  get isMerged(): boolean {
    return this.originals !== undefined;
  }

  /** Runs the model with the adapter. Throws ConfigError while it is merged: it would count twice. */
  readonly on = (): void => {
    this.requireLive("on");
    if (this.isMerged)
      throw new ConfigError("adapter: on() of a merged adapter, unmerge() it first", "adapter");
    for (const low of this.layers) low.layer.adapter = low;
    for (const { module, own } of this.saved) module.weight = own;
    this.active = true;
  };

  /** Runs the base model: DPO's reference. Throws ConfigError while the adapter is merged: the base is gone then. */
  readonly off = (): void => {
    this.requireLive("off");
    if (this.isMerged)
      throw new ConfigError("adapter: off() of a merged adapter, unmerge() it first", "adapter");
    this.detach();
  };

  private requireLive(call: string): void {
    if (this.disposed)
      throw new DisposedError(`adapter: ${call}() of a disposed adapter, a live one was needed`, "adapter");
  }

  private detach(): void {
    for (const low of this.layers) low.layer.adapter = undefined;
    for (const { module, base } of this.saved) module.weight = base;
    this.active = false;
  }

  /** @internal DoRA's magnitudes start as the norms of the adapted weights. */
  resetMagnitudes(): void {
    for (const low of this.layers) if (low.parts.magnitude) low.resetMagnitude();
  }

  /** @internal The weights as they were: merging keeps copies. */
  setMerged(originals: Original[]): void {
    this.detach();
    this.originals = originals;
  }

  /** Takes a merge back: the weights get the very bits they had, and the adapter is on again. */
  unmerge(): void {
    this.requireLive("unmerge");
    if (this.originals === undefined) throw new ConfigError("adapter: unmerge() without a merge", "adapter");
    putBack(this.originals);
    for (const { copy } of this.originals) copy.dispose();
    this.originals = undefined;
    this.on();
  }

  /** Detaches the adapter. A merge stays in the weights, and can't be taken back any more. */
  dispose(): void {
    if (this.model.adapter !== this) return;
    for (const { copy } of this.originals ?? []) copy.dispose();
    this.originals = undefined;
    this.detach();
    for (const low of this.layers) low.dispose();
    for (const tensor of Object.values(this.params)) tensor.dispose();
    for (const tensor of this.memory) tensor.dispose();
    this.model.adapter = undefined;
    this.disposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
