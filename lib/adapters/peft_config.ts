import { ConfigError } from "../core/errors.ts";
import { isObject } from "../io/json.ts";
import type { AdapterConfig } from "./adapter.ts";

type Json = Readonly<Record<string, unknown>>;

/** Settings of PEFT that change what an adapter computes and that this build doesn't have: anything but these is refused. */
const only: Readonly<Record<string, readonly unknown[]>> = {
  peft_type: ["LORA"],
  bias: ["none"],
  fan_in_fan_out: [false],
  lora_bias: [false],
  use_qalora: [false],
  use_bdlora: [null, false],
  layer_replication: [null],
  layers_pattern: [null, "layers"],
  trainable_token_indices: [null],
  alora_invocation_tokens: [null],
  arrow_config: [null],
  velora_config: [null],
  kasa_config: [null],
  monteclora_config: [null],
};

/** Initialisations that leave the base as it is; the others change it, and their adapters belong to the changed base. */
const plainInits: readonly unknown[] = [true, false, "gaussian", "eva", "orthogonal", "mica"];

/** Reads adapter_config.json. Throws ConfigError, by name, for what this build would get wrong. */
export function readPeftConfig(raw: Json): AdapterConfig {
  for (const [key, allowed] of Object.entries(only)) {
    if (raw[key] !== undefined && !allowed.includes(raw[key])) {
      throw new ConfigError(
        `loadAdapter: adapter_config.json says ${key} ${JSON.stringify(raw[key])}; this build has ${allowed.map((v) => JSON.stringify(v)).join(" or ")} only`,
        key,
      );
    }
  }
  const init = raw.init_lora_weights ?? true;
  if (!plainInits.includes(init)) {
    throw new ConfigError(
      `loadAdapter: adapter_config.json says init_lora_weights ${JSON.stringify(init)}, whose adapters belong to a changed base;` +
        " save it from PEFT with path_initial_model_for_weight_conversion",
      "init_lora_weights",
    );
  }
  const number = (key: string, otherwise: number): number => {
    const value = raw[key] ?? otherwise;
    if (typeof value === "number") return value;
    throw new ConfigError(
      `loadAdapter: adapter_config.json says ${key} ${JSON.stringify(value)}, a number was needed`,
      key,
    );
  };
  const pattern = (key: string): Record<string, number> => {
    const value = raw[key] ?? {};
    if (isObject(value) && Object.values(value).every((v) => typeof v === "number"))
      return value as Record<string, number>;
    throw new ConfigError(
      `loadAdapter: ${key} is ${JSON.stringify(value)}, numbers by module name were needed`,
      key,
    );
  };
  const names = (key: string): readonly string[] | string | undefined => {
    const value = raw[key] ?? undefined;
    if (
      value === undefined ||
      typeof value === "string" ||
      (Array.isArray(value) && value.every((v) => typeof v === "string"))
    ) {
      return value as readonly string[] | string | undefined;
    }
    throw new ConfigError(
      `loadAdapter: ${key} is ${JSON.stringify(value)}, a name, a list or null was needed`,
      key,
    );
  };
  const layers = raw.layers_to_transform ?? undefined;
  return {
    rank: number("r", 8),
    alpha: number("lora_alpha", 8),
    targets: names("target_modules") ?? [],
    exclude: names("exclude_modules"),
    layers: layers === undefined ? undefined : ([layers].flat() as number[]),
    rslora: raw.use_rslora === true,
    dora: raw.use_dora === true,
    dropout: number("lora_dropout", 0),
    rankPattern: pattern("rank_pattern"),
    alphaPattern: pattern("alpha_pattern"),
    modulesToSave: [names("modules_to_save") ?? []].flat(),
    targetParameters: [names("target_parameters") ?? []].flat(),
  };
}

/** adapter_config.json as PEFT writes it: keys sorted. `targets` are resolved names or a regular expression. */
export function writePeftConfig(
  config: AdapterConfig,
  targets: readonly string[] | string,
  base: string | undefined,
): Json {
  return {
    alpha_pattern: config.alphaPattern,
    auto_mapping: null,
    base_model_name_or_path: base ?? null,
    bias: "none",
    exclude_modules: config.exclude ?? null,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: config.layers ?? null,
    loftq_config: {},
    lora_alpha: config.alpha,
    lora_bias: false,
    lora_dropout: config.dropout,
    megatron_config: null,
    megatron_core: "megatron.core",
    modules_to_save: config.modulesToSave.length > 0 ? config.modulesToSave : null,
    peft_type: "LORA",
    // The layout of fused experts depends on it (PEFT#3165).
    ...(config.targetParameters.length > 0 && { peft_version: "0.19.1" }),
    r: config.rank,
    rank_pattern: config.rankPattern,
    revision: null,
    target_modules: targets,
    target_parameters: config.targetParameters.length > 0 ? config.targetParameters : null,
    task_type: "CAUSAL_LM",
    trainable_token_indices: null,
    use_dora: config.dora,
    use_rslora: config.rslora,
  };
}
