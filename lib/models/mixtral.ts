import type { Family } from "./family.ts";

/** Jiang et al. 2024: every feed-forward part sparse, the weights of the chosen experts sum to 1. */
export const mixtral: Family = {
  modelType: "mixtral",
  moe: { block: "block_sparse_moe", gate: "w1", up: "w3", down: "w2" },
};
