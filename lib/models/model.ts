// T tokens, D hidden, V vocabulary, B documents
import type { Device } from "../core/device.ts";
import type { DType } from "../core/dtype.ts";
import { ConfigError, DisposedError } from "../core/errors.ts";
import { scope } from "../core/scope.ts";
import { withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Block } from "../nn/block.ts";
import type { CacheAccess } from "../nn/context.ts";
import { SparseMoe } from "../nn/experts.ts";
import type { Linear } from "../nn/linear.ts";
import type { RmsNorm } from "../nn/rms_norm.ts";
import { gatherRows } from "../ops/gather_rows.ts";
import { rotaryTable } from "../ops/rotary.ts";
import type { Routing } from "../ops/router.ts";
import { positionsOf, type TokenBatch } from "../text/token_batch.ts";
import type { ModelConfig } from "./config.ts";
import type { ParamSet } from "./param_set.ts";

/** Tokens on the device: what a forward pass takes. */
export interface ModelInput {
  tokens: Tensor;
  /** [T] i32: position of each token within its document. */
  positions: Tensor;
  offsets: Tensor;
  cache?: CacheAccess | undefined;
}

export interface ForwardOptions {
  /** Runs each layer again in the backward pass instead of keeping its activations: less memory, a third more work. */
  recompute?: boolean;
}

export interface ModelParts {
  embedding: Linear;
  blocks: readonly Block[];
  norm: RmsNorm;
  /** Shares the embedding's weight where the config ties them. */
  head: Linear;
  invFreq: Tensor;
  ropeScale: number;
  /** Every layer an adapter can attach to, in checkpoint order; the head included. */
  linears: readonly Linear[];
}

/** Where a model came from: what saving needs to give the same files back. */
export interface ModelOrigin {
  dir: string;
  /** Checkpoint name → number format on disk. */
  dtypes: ReadonlyMap<string, string>;
  /** Checkpoint name → file, for a sharded checkpoint. */
  shards: ReadonlyMap<string, string> | undefined;
  /** Token ids that end a text, by generation_config.json or else config.json. */
  eosTokenIds: readonly number[];
}

/** Behind the router's module, the name of its bias. */
export const kRouterBias = ".e_score_correction_bias";

/** A decoder-only language model. */
export class Model {
  origin: ModelOrigin | undefined;
  /** The attached adapter, if any: one at a time. */
  adapter:
    | {
        readonly isMerged: boolean;
        readonly isOn: boolean;
        readonly params: Readonly<Record<string, Tensor>>;
        readonly on: () => void;
        readonly off: () => void;
        dispose(): void;
      }
    | undefined;
  private disposed = false;

  /** @internal Use `loadModel` or `createModel`. */
  constructor(
    readonly config: ModelConfig,
    readonly paramSet: ParamSet,
    readonly parts: ModelParts,
  ) {}

  get device(): Device {
    return this.paramSet.device;
  }

  get dtype(): DType {
    return this.paramSet.dtype;
  }

  /** Checkpoint name → tensor. Experts are parts of one stacked tensor. */
  get params(): Record<string, Tensor> {
    return this.paramSet.params;
  }

  /**
   * What the routers add to their scores when they choose experts, [E] f32 each, named as in DeepSeek-V3's checkpoints; empty
   * for routers that add nothing. `pretrain`'s `routerBiasRate` makes and moves them; they are no parameters.
   */
  get routerBias(): Readonly<Record<string, Tensor>> {
    return this.paramSet.buffers;
  }

  /** @internal Gives each router a bias of zeros, where they have none. */
  addRouterBias(): void {
    for (const { mlp } of this.parts.blocks) {
      if (!(mlp instanceof SparseMoe) || mlp.routerBias !== undefined) continue;
      const { modules, outFeatures } = mlp.parts.router;
      mlp.routerBias = this.paramSet.buffer(`${modules[0]}${kRouterBias}`, [outFeatures]);
    }
  }

  /** @internal Throws DisposedError if the model was disposed. */
  requireLive(where: string): void {
    if (this.disposed)
      throw new DisposedError(`${where}: the model was disposed, a live one was needed`, "model");
  }

  /** Copies a batch to the device. Throws ConfigError for a token id outside of the vocabulary. */
  upload(batch: TokenBatch): ModelInput & { targets: Tensor } {
    this.requireLive("model");
    const { vocabSize } = this.config;
    checkIds("token", batch.tokens, vocabSize, false);
    checkIds("target", batch.targets, vocabSize, true);
    const { device } = this;
    const list = (ids: Int32Array) => device.tensor(ids, [ids.length]);
    return {
      tokens: list(batch.tokens),
      targets: list(batch.targets),
      positions: list(positionsOf(batch)),
      offsets: list(batch.offsets),
    };
  }

  /** The final hidden states, [T, D], and the routing of each sparse layer. */
  forward(input: ModelInput, options: ForwardOptions = {}): { hidden: Tensor; routings: Routing[] } {
    const { embedding, blocks, norm, invFreq, ropeScale } = this.parts;
    const context = {
      offsets: input.offsets,
      rotary: rotaryTable(input.positions, invFreq, ropeScale),
      cache: input.cache,
    };
    let x = this.device.at("model.embed_tokens", () => gatherRows(embedding.weight, input.tokens));
    const routings: Routing[] = [];
    for (const block of blocks) {
      const before = x;
      const step = block.forward(x, context, options);
      before.dispose(); // the tape keeps what the backward pass needs
      x = step.x;
      if (step.routing) routings.push(step.routing);
    }
    return { hidden: this.device.at("model.norm", () => norm.forward(x)), routings };
  }

  /** Logits of every position, [T, V] f32. Belongs to the caller. */
  logits(batch: TokenBatch): Tensor {
    return scope(() => this.headLogits(this.forward(this.upload(batch)).hidden));
  }

  /** The head's product: hidden [T, D] → logits [T, V] f32. */
  headLogits(hidden: Tensor): Tensor {
    const { head } = this.parts;
    return this.device.at("lm_head", () => head.product(hidden, undefined, head.bias, "f32"));
  }

  /** Which experts each token chose, best first, and their weights: per sparse layer. Belongs to the caller. */
  routing(batch: TokenBatch): { experts: Tensor; weights: Tensor }[] {
    return withoutGrad(() =>
      scope(() =>
        this.forward(this.upload(batch)).routings.map(({ experts, weights }) => ({ experts, weights })),
      ),
    );
  }

  /** Gives all memory back, an attached adapter's included. */
  dispose(): void {
    this.disposed = true;
    this.adapter?.dispose();
    this.paramSet.dispose();
    this.parts.invFreq.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function checkIds(what: string, ids: Int32Array, vocabSize: number, ignorable: boolean): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if ((id < 0 && !(ignorable && id === -100)) || id >= vocabSize) {
      throw new ConfigError(
        `model: ${what} ${i} is ${id}, ids from 0 to ${vocabSize - 1} are in the vocabulary`,
        what,
      );
    }
  }
}
