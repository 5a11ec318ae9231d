import type { Family } from "./family.ts";

/** Touvron et al. 2023; Llama 3's RoPE scaling included. */
export const llama: Family = { modelType: "llama" };
