import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { type CheckpointTensor, openTensors } from "../io/checkpoint_files.ts";
import { parseModelConfig } from "./config.ts";
import { readConfigFile } from "./load.ts";
import { type ParameterCount, parameterCount } from "./parameter_count.ts";

/** What a model folder holds, as far as headers and config.json say it. */
export interface ModelDescription {
  modelType: string;
  parameters: ParameterCount;
  layers: number;
  hiddenSize: number;
  vocabSize: number;
  /** Most tokens of a document. */
  contextLength: number;
  experts?: { count: number; perToken: number; width: number };
  files: FolderFile[];
  /** Number formats of the weights on disk; none: the folder has no weights. */
  dtypes: string[];
}

export interface FolderFile {
  name: string;
  bytes: number;
}

/** Reads config.json and the headers of the weights, no weights. Throws FormatError or ConfigError as loadModel does. */
export async function describeModel(dir: string): Promise<ModelDescription> {
  const config = parseModelConfig(await readConfigFile(dir));
  const files = await filesOf(dir);
  const { numExperts: count, numExpertsPerTok: perToken, moeIntermediateSize: width } = config;
  return {
    modelType: config.modelType,
    parameters: parameterCount(config),
    layers: config.numHiddenLayers,
    hiddenSize: config.hiddenSize,
    vocabSize: config.vocabSize,
    contextLength: config.maxPositionEmbeddings,
    ...(count > 0 && { experts: { count, perToken, width } }),
    files,
    dtypes: hasWeights(files) ? dtypesOf(await headersOf(dir)) : [],
  };
}

/** Whether weights lie among the files of a model folder; a folder may hold only the config of a model to be made. */
export const hasWeights = (files: readonly { name: string }[]): boolean =>
  files.some(({ name }) => /^(model.*\.safetensors(\.index\.json)?|pytorch_model.*\.bin)$/.test(name));

/** The tensors of a folder, unread. */
export async function headersOf(dir: string, stem?: string): Promise<CheckpointTensor[]> {
  const files = await openTensors(dir, stem);
  await files.close();
  return [...files.tensors.values()];
}

export const dtypesOf = (tensors: readonly CheckpointTensor[]): string[] =>
  [...new Set(tensors.map(({ dtype }) => dtype))].sort();

/** The files that lie in a folder itself, by name. */
export async function filesOf(dir: string): Promise<FolderFile[]> {
  const entries = (await readdir(dir, { withFileTypes: true })).filter((entry) => entry.isFile());
  const names = entries.map(({ name }) => name).sort();
  return Promise.all(names.map(async (name) => ({ name, bytes: (await stat(path.join(dir, name))).size })));
}
