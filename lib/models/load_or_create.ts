import type { Device } from "../core/device.ts";
import type { DType } from "../core/dtype.ts";
import { createModel } from "./create.ts";
import { filesOf, hasWeights } from "./describe.ts";
import { loadModel, readConfigFile } from "./load.ts";
import type { Model } from "./model.ts";

/** The model of a folder: loaded, or, where the folder has a config.json but no weights, new with random ones. */
export async function loadOrCreateModel(
  dir: string,
  { device, dtype, seed }: { device: Device; dtype?: DType; seed?: number },
): Promise<{ model: Model; created: boolean }> {
  const config = await readConfigFile(dir);
  if (hasWeights(await filesOf(dir)))
    return { model: await loadModel(dir, { device, dtype }), created: false };
  return { model: createModel(config, { device, dtype, seed }), created: true };
}
