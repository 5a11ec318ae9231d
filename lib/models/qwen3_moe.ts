import { type Family, projectionNames } from "./family.ts";

/** Qwen3-MoE: head-wise norms of queries and keys, no shared expert. */
export const qwen3Moe: Family = { modelType: "qwen3_moe", moe: projectionNames };
