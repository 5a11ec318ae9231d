/** What tells one model type from another beyond its config: how its checkpoints name things. */
export interface Family {
  /** Hugging Face's model_type. */
  modelType: string;
  /** Names of the sparse feed-forward part, for types that have one. */
  moe?: {
    /** Module of the router and the experts, under model.layers.N. */
    block: string;
    gate: string;
    up: string;
    down: string;
  };
}

/** The names that OLMoE and the Qwen types share. */
export const projectionNames = { block: "mlp", gate: "gate_proj", up: "up_proj", down: "down_proj" } as const;
