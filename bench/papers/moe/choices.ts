// What routers chose, and how evenly.
import { disposeAll, type Model, type TokenBatch } from "../../../lib/index.ts";
import { mean } from "../findings.ts";

/** The choices of one layer: `experts[t * K]` is token t's first. */
export interface LayerChoices {
  experts: Int32Array;
  K: number;
}

/** The experts that each layer chose for the tokens of all batches. */
export async function choicesOf(model: Model, batches: readonly TokenBatch[]): Promise<LayerChoices[]> {
  const K = model.config.numExpertsPerTok;
  const parts: Int32Array[][] = [];
  for (const batch of batches) {
    const layers = model.routing(batch);
    try {
      const read = await Promise.all(layers.map(({ experts }) => experts.data()));
      read.forEach((experts, layer) => {
        parts[layer] ??= [];
        parts[layer].push(experts as Int32Array);
      });
    } finally {
      disposeAll(layers);
    }
  }
  return parts.map((of) => ({ experts: Int32Array.from(of.flatMap((part) => [...part])), K }));
}

/** Share of the choices that each expert took. */
export function loadOf({ experts }: Pick<LayerChoices, "experts">, E: number): number[] {
  const load = new Array<number>(E).fill(0);
  for (const e of experts) load[e]! += 1 / experts.length;
  return load;
}

export interface Evenness {
  /** Load of the busiest expert as a multiple of the mean, less 1 (MaxVio of Wang et al. 2024); mean over layers. */
  maxVio: number;
  /** Entropy of the load over its highest value, ln E; mean over layers. */
  entropy: number;
  /** Experts with less than a tenth of the mean load, in all layers together. */
  dead: number;
}

export function evenness(loads: readonly (readonly number[])[]): Evenness {
  const E = loads[0]!.length;
  const entropy = (load: readonly number[]): number =>
    load.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);
  return {
    maxVio: mean(loads.map((load) => Math.max(...load) * E - 1)),
    entropy: mean(loads.map((load) => entropy(load) / Math.log(E))),
    dead: loads.flat().filter((share) => share * E < 0.1).length,
  };
}
