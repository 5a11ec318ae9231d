// K in, N out, r rank, E experts
import { owned } from "../core/device.ts";
import { ConfigError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { scope } from "../core/scope.ts";
import type { Tensor } from "../core/tensor.ts";
import { copyInto } from "../ops/add.ts";
import { type Adapter, type Original, putBack } from "./adapter.ts";
import type { LowRank } from "./low_rank.ts";

/**
 * Puts an adapter into the model's weights: W + s·B·A, and for DoRA its rows scaled to their magnitudes; modules trained as
 * a whole replace the model's. The model then gives the same outputs without it. Copies of the old weights are kept for
 * `adapter.unmerge()`. Throws ConfigError for an adapter that is merged already, and for one with an embedding or head of
 * its own where the model ties the two, OutOfMemoryError: nothing is merged then.
 */
export async function mergeAdapter(adapter: Adapter): Promise<void> {
  if (adapter.isMerged)
    throw new ConfigError("mergeAdapter: the adapter is merged already, unmerge() it first", "adapter");
  const { parts, config } = adapter.model;
  const tied = adapter.saved.some(({ module }) => module === parts.embedding || module === parts.head);
  if (config.tieWordEmbeddings && tied) {
    throw new ConfigError(
      "mergeAdapter: the adapter has an embedding or head of its own, and the model ties the two: no checkpoint holds that",
      "adapter",
    );
  }
  const originals: Original[] = [];
  try {
    const weights = [...adapter.layers.map(({ layer }) => layer.weight), ...adapter.saved.map((s) => s.base)];
    for (const weight of weights) originals.push({ weight, copy: copyOf(weight) });
    for (const low of adapter.layers) scope(() => copyInto(mergedWeight(low), low.layer.weight));
    for (const { own, base } of adapter.saved) copyInto(own, base);
  } catch (error) {
    try {
      putBack(originals);
    } finally {
      for (const { copy } of originals) copy.dispose();
    }
    throw error;
  }
  adapter.setMerged(originals);
  await adapter.model.device.ready();
}

function copyOf(weight: Tensor): Tensor {
  const copy = scope(() => {
    const empty = weight.device.empty(weight.shape, weight.dtype);
    copyInto(weight, empty);
    return empty;
  });
  return owned(copy, `copy of ${weight.label}`);
}

/** The adapted weight, shaped as the layer's, in f32. Nothing is rounded on the way. */
export function mergedWeight(low: LowRank): Tensor {
  const { layer, parts } = low;
  const { inFeatures: K, outFeatures: N } = layer;
  const { device } = layer.weight;
  const merged = device.empty(layer.weight.shape);
  run("add", layer.weight, undefined, merged, 1, 0);
  if (layer.grouped) {
    // All experts at once: the rows of every B_e, sorted by expert as they are, times their A_e.
    const E = layer.modules.length;
    const offsets = device.tensor(
      Int32Array.from({ length: E + 1 }, (_, e) => e * N),
      [E + 1],
    );
    const rows = parts.b.view([E * N, parts.b.shape[2]!]);
    run(
      "grouped_matmul",
      rows,
      parts.a,
      offsets,
      undefined,
      merged.view([E * N, K]),
      false,
      parts.scaling,
      true,
    );
  } else {
    run("matmul", parts.b, parts.a, undefined, merged, false, false, parts.scaling, true);
  }
  if (parts.magnitude) run("scale_rows", merged, parts.magnitude, low.norm(), merged);
  return merged;
}
