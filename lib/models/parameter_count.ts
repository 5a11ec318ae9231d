// V vocabulary, D hidden, F feed-forward, E experts, K chosen
import type { ModelConfig } from "./config.ts";

/** Weights of a model, and those that one token uses: all but the experts it doesn't choose. */
export interface ParameterCount {
  total: number;
  active: number;
}

/** Counts from the config alone. */
export function parameterCount(config: ModelConfig): ParameterCount {
  const { vocabSize: V, hiddenSize: D, numExperts: E, numExpertsPerTok: K } = config;
  const embeddings = V * D * (config.tieWordEmbeddings ? 1 : 2);
  const layers = Array.from({ length: config.numHiddenLayers }, (_, layer) => layer);
  const sparse = layers.filter((layer) => config.isMoeLayer(layer)).length;
  const dense = layers.length - sparse;
  const expert = 3 * D * config.moeIntermediateSize;
  const shared = config.sharedExpertIntermediateSize;
  const besideExperts = E * D + (shared > 0 ? 3 * D * shared + D : 0);
  const always =
    embeddings +
    D +
    layers.length * (2 * D + attention(config)) +
    dense * 3 * D * config.intermediateSize +
    sparse * besideExperts;
  return { total: always + sparse * E * expert, active: always + sparse * K * expert };
}

function attention({ hiddenSize: D, headDim, qkNorm, ...config }: ModelConfig): number {
  const q = config.numAttentionHeads * headDim;
  const kv = config.numKeyValueHeads * headDim;
  const norms = { none: 0, head: 2 * headDim, full: q + kv }[qkNorm];
  return 2 * D * q + 2 * D * kv + norms + (config.qkvBias ? q + 2 * kv : 0) + (config.attentionBias ? D : 0);
}
