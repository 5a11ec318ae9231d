import type { Family } from "./family.ts";

/** Qwen3 dense models: queries and keys are normalised head by head. */
export const qwen3: Family = { modelType: "qwen3" };
