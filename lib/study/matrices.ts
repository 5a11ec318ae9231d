import type { Adapter } from "../adapters/adapter.ts";
import { mergedWeight } from "../adapters/merge.ts";
import { scope } from "../core/scope.ts";
import { withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { openTensors } from "../io/checkpoint_files.ts";
import type { Model } from "../models/model.ts";

/** The weight of one linear layer, or of one expert's, [rows, columns], before training and now. */
export interface TrainedMatrix {
  module: string;
  rows: number;
  columns: number;
  before: Float32Array;
  after: Float32Array;
}

/** The number formats that loadModel reads. */
const kFormats: Readonly<Record<string, "f32" | "bf16" | "f16">> = { F32: "f32", BF16: "bf16", F16: "f16" };

/**
 * The matrices of the linear layers that a run trains, one at a time: with an adapter those it adapts, as if merged;
 * without one all of them, whose weights before training are read again from the base model's folder.
 */
export async function* trainedMatrices(
  model: Model,
  adapter: Adapter | undefined,
  baseDir: string,
): AsyncGenerator<TrainedMatrix, void, void> {
  if (adapter) yield* adaptedMatrices(adapter);
  else yield* wholeMatrices(model, baseDir);
}

async function* adaptedMatrices({ layers, params }: Adapter): AsyncGenerator<TrainedMatrix, void, void> {
  for (const low of layers) {
    const { modules, weight, outFeatures: rows, inFeatures: columns } = low.layer;
    const before = await floats(weight);
    const merged = scope(() => withoutGrad(() => mergedWeight(low)));
    const after = await floats(merged).finally(() => merged.dispose());
    for (const [i, module] of modules.entries()) {
      if (!(`${module}.lora_A.weight` in params)) continue; // an expert that is no target
      const part = (values: Float32Array) => values.subarray(i * rows * columns, (i + 1) * rows * columns);
      yield { module, rows, columns, before: part(before), after: part(after) };
    }
  }
}

async function* wholeMatrices(model: Model, baseDir: string): AsyncGenerator<TrainedMatrix, void, void> {
  const files = await openTensors(baseDir);
  try {
    for (const { modules, outFeatures: rows, inFeatures: columns } of model.parts.linears) {
      for (const module of modules) {
        const name = `${module}.weight`;
        const weight = model.params[name];
        if (weight === undefined) continue; // a head that is the embedding
        const bytes = await files.read(name);
        const base = scope(() => model.device.empty(weight.shape, weight.dtype));
        base.write(bytes, kFormats[files.tensors.get(name)!.dtype]!);
        const before = await floats(base).finally(() => base.dispose());
        yield { module, rows, columns, before, after: await floats(weight) };
      }
    }
  } finally {
    await files.close();
  }
}

const floats = async (tensor: Tensor): Promise<Float32Array> => (await tensor.data()) as Float32Array;
