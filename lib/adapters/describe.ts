import { dtypesOf, type FolderFile, filesOf, headersOf } from "../models/describe.ts";
import { readAdapterFile } from "./peft_format.ts";

/** What an adapter folder holds, as far as headers and adapter_config.json say it. */
export interface AdapterDescription {
  kind: "LoRA" | "DoRA";
  baseModel: string | undefined;
  rank: number;
  alpha: number;
  rslora: boolean;
  targets: readonly string[] | string;
  parameters: number;
  files: FolderFile[];
  dtypes: string[];
}

/** Reads adapter_config.json and the headers of the weights. Throws FormatError or ConfigError as loadAdapter does. */
export async function describeAdapter(dir: string): Promise<AdapterDescription> {
  const { raw, config } = await readAdapterFile(dir);
  const tensors = await headersOf(dir, "adapter_model");
  const base = raw.base_model_name_or_path;
  return {
    kind: config.dora ? "DoRA" : "LoRA",
    baseModel: typeof base === "string" ? base : undefined,
    rank: config.rank,
    alpha: config.alpha,
    rslora: config.rslora,
    targets: config.targets,
    parameters: tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    files: await filesOf(dir),
    dtypes: dtypesOf(tensors),
  };
}
