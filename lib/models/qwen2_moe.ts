import { type Family, projectionNames } from "./family.ts";

/** Qwen1.5-MoE and Qwen2-MoE: biased queries, keys and values, and a gated expert that every token passes. */
export const qwen2Moe: Family = { modelType: "qwen2_moe", moe: projectionNames };
