import { ConfigError } from "../core/errors.ts";
import type { Family } from "./family.ts";
import { llama } from "./llama.ts";
import { mixtral } from "./mixtral.ts";
import { olmoe } from "./olmoe.ts";
import { qwen2Moe } from "./qwen2_moe.ts";
import { qwen3 } from "./qwen3.ts";
import { qwen3Moe } from "./qwen3_moe.ts";

const families: readonly Family[] = [llama, mixtral, olmoe, qwen2Moe, qwen3, qwen3Moe];

export const modelTypes: readonly string[] = families.map((family) => family.modelType);

/** Throws ConfigError for a type this build doesn't read. */
export function familyOf(modelType: string): Family {
  const family = families.find((f) => f.modelType === modelType);
  if (family) return family;
  throw new ConfigError(
    `loadModel: config.json says model_type "${modelType}"; this build reads ${modelTypes.join(", ")}`,
    "model_type",
  );
}
