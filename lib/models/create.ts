import { type Device, requireDevice } from "../core/device.ts";
import type { DType } from "../core/dtype.ts";
import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import { run } from "../core/run.ts";
import { newModelConfig } from "./config.ts";
import { buildModel } from "./decoder.ts";
import type { Model } from "./model.ts";

/**
 * A model with random initial weights from a config object in Hugging Face's terms (`model_type` and sizes; the rest has
 * the type's defaults): weights normal with `initializer_range`, norms one, biases zero. Throws ConfigError for an unknown
 * key, with the nearest known one.
 */
export function createModel(
  config: Readonly<Record<string, unknown>>,
  options: { device: Device; seed?: number; dtype?: DType },
): Model {
  refuseUnknown("createModel", options ?? {}, ["device", "seed", "dtype"]);
  requireDevice("createModel", options);
  const { device, seed = 0, dtype = "f32" } = options;
  if (dtype !== "f32" && dtype !== "bf16")
    throw new ConfigError(`createModel: dtype "${dtype}", f32 or bf16 was needed`, "dtype");
  const model = buildModel(newModelConfig(config), device, dtype);
  model.paramSet.owned.forEach(({ tensor, kind }, i) => {
    if (kind === "weight") run("random_normal", tensor, 0, model.config.initializerRange, seed, i);
    else run("fill", tensor, kind === "norm" ? 1 : 0);
  });
  return model;
}
