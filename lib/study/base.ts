import type { Device } from "../core/device.ts";
import { sha256OfFiles } from "../io/file_hash.ts";
import { loadModel } from "../models/load.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { openHeldOut } from "./held_out.ts";
import type { BaseResult } from "./results.ts";
import type { StudySettings } from "./settings.ts";

/** Hash of the held-out files: results are compared on the same ones only. */
export const heldOutHash = ({ newHeldOut, oldHeldOut, choiceHeldOut }: StudySettings): Promise<string> =>
  sha256OfFiles([newHeldOut, oldHeldOut, ...(choiceHeldOut === undefined ? [] : [choiceHeldOut])]);

/** Measures the base model: where every run starts. */
export async function measureBase(settings: StudySettings, device: Device): Promise<BaseResult> {
  const sha256 = await heldOutHash(settings);
  const model = await loadModel(settings.model, { device, dtype: settings.dtype });
  const heldOut = await openHeldOut(settings, model, await loadTokenizer(settings.model));
  return { ...(await heldOut.measure(model)), sha256 };
}
