import { ConfigError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import type { Tensor } from "../core/tensor.ts";
import { check, type OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "sample",
  kernels: ["sample"],
  math: "temperature 0: arg max; else a draw from softmax(logits / temperature), cut to topK, then to topP",
  inputs: { logits: "[B, V] float" },
  outputs: { ids: "[B] i32" },
  tolerance: { f32: 0, bf16: 0 },
  source: "Holtzman et al. 2020 (nucleus sampling)",
};

export interface SampleOptions {
  /** 0: the largest logit. */
  temperature: number;
  /** Only the topK most probable; 0: all. */
  topK: number;
  /** Only the smallest set whose probability reaches topP; 1: all. */
  topP: number;
  seed: number;
  /** Which token of the text this is: the draw depends on (seed, position, row) alone. */
  position: number;
}

/** Draws one token a row, [B] i32. Throws ConfigError for options out of range. */
export function sample(logits: Tensor, { temperature, topK, topP, seed, position }: SampleOptions): Tensor {
  const { B = 0 } = check(spec, { logits });
  if (!(temperature >= 0))
    throw new ConfigError(`sample: temperature is ${temperature}, at least 0 was needed`, "temperature");
  if (!(topP > 0 && topP <= 1))
    throw new ConfigError(`sample: topP is ${topP}, above 0 to 1 was needed`, "topP");
  if (!Number.isInteger(topK) || topK < 0)
    throw new ConfigError(`sample: topK is ${topK}, a whole number from 0 was needed`, "topK");
  const ids = logits.device.empty([B], "i32");
  run("sample", logits, ids, temperature, topK, topP, seed, position);
  return ids;
}
