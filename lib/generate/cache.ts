// B sequences, T new tokens, G·hd width of keys and values
import { owned } from "../core/device.ts";
import { scope } from "../core/scope.ts";
import type { Model } from "../models/model.ts";
import type { CacheAccess, LayerCache } from "../nn/context.ts";

/** Keys and values of many sequences in one tensor a layer, in the model's number format; each has its rows reserved. */
export class KeyValueCache {
  private readonly layers: readonly LayerCache[];
  private readonly starts: number[] = [];
  private readonly lengths: number[];

  /** `capacities[b]` is the most tokens that sequence b will hold. Throws OutOfMemoryError. */
  constructor(
    private readonly model: Model,
    capacities: readonly number[],
  ) {
    let rows = 0;
    for (const capacity of capacities) {
      this.starts.push(rows);
      rows += capacity;
    }
    this.lengths = capacities.map(() => 0);
    const { numKeyValueHeads, headDim } = model.config;
    const shape = [rows, numKeyValueHeads * headDim];
    this.layers = scope(() =>
      model.parts.blocks.map(() => ({
        k: model.device.full(shape, 0, model.dtype), // not empty: debug mode "finite" reads all of it
        v: model.device.full(shape, 0, model.dtype),
      })),
    );
    this.layers.forEach(({ k, v }, layer) => {
      owned(k, `key cache of layer ${layer}`);
      owned(v, `value cache of layer ${layer}`);
    });
  }

  /** Makes room for `counts[i]` new tokens of `sequences[i]`, laid end to end, and says where everything is. */
  extend(
    sequences: readonly number[],
    counts: readonly number[],
  ): { access: CacheAccess; positions: Int32Array } {
    const total = counts.reduce((a, b) => a + b, 0);
    const rows = new Int32Array(total);
    const positions = new Int32Array(total);
    let at = 0;
    sequences.forEach((sequence, i) => {
      for (let n = counts[i]!; n > 0; n--, at++) {
        positions[at] = this.lengths[sequence]!++;
        rows[at] = this.starts[sequence]! + positions[at]!;
      }
    });
    const list = (ids: Int32Array) => this.model.device.tensor(ids, [ids.length]);
    const access = {
      layers: this.layers,
      rows: list(rows),
      starts: list(Int32Array.from(sequences, (s) => this.starts[s]!)),
      lengths: list(Int32Array.from(sequences, (s) => this.lengths[s]!)),
    };
    return { access, positions };
  }

  dispose(): void {
    for (const { k, v } of this.layers) {
      k.dispose();
      v.dispose();
    }
  }
}
