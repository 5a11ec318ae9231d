// E experts, r rank, D model, F hidden
import { owned } from "../core/device.ts";
import { ConfigError } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Model } from "../models/model.ts";
import { SparseMoe } from "../nn/experts.ts";
import type { Linear } from "../nn/linear.ts";
import type { AdapterConfig } from "./adapter.ts";
import { LowRank } from "./low_rank.ts";
import { sizesOf } from "./targets.ts";

/**
 * PEFT's `target_parameters` on fused experts: gate and up of an expert are one matrix there, so they share A. `a` is
 * [E, r, in]; `b` is [parts, E, out, r], with two parts (gate, up) for gate_up_proj and one for down_proj.
 */
export interface FusedPair {
  /** Module path before `.lora_A.weight`, as PEFT nests its wrappers. */
  path: string;
  a: Tensor;
  b: Tensor;
}

export interface FusedAdapters {
  pairs: FusedPair[];
  layers: LowRank[];
}

/**
 * Takes the memory of adapters on fused experts. Throws ConfigError for a parameter that the model doesn't have, and for
 * DoRA or dropout, which PEFT doesn't have on parameters.
 */
export function fusedAdapters(model: Model, config: AdapterConfig): FusedAdapters {
  const { targetParameters: targets } = config;
  const matches = (parameter: string, target: string): boolean =>
    parameter === target || parameter.endsWith(`.${target}`);
  const sparse = model.parts.blocks.flatMap(({ mlp }, layer) =>
    mlp instanceof SparseMoe ? [{ mlp, at: `model.layers.${layer}.mlp.experts` }] : [],
  );
  const all = sparse.flatMap(({ at }) => [`${at}.gate_up_proj`, `${at}.down_proj`]);
  const unknown = targets.filter((target) => !all.some((parameter) => matches(parameter, target)));
  if (unknown.length > 0 || config.dora || config.dropout > 0) {
    throw new ConfigError(
      unknown.length > 0
        ? `loadAdapter: target_parameters has ${unknown.join(", ")}; this model has ${all.length > 0 ? "mlp.experts.gate_up_proj and mlp.experts.down_proj" : "no experts"}`
        : "loadAdapter: target_parameters with DoRA or dropout, which PEFT doesn't have",
      "target_parameters",
    );
  }
  const fused: FusedAdapters = { pairs: [], layers: [] };
  for (const { mlp, at } of sparse) {
    const [gateUp, down] = ["gate_up_proj", "down_proj"].map((name) =>
      targets.some((target) => matches(`${at}.${name}`, target)),
    );
    const add = (path: string, parameter: string, linears: readonly Linear[]): void => {
      const { rank, scaling } = sizesOf(config, `${at}.${parameter}`);
      const [first] = linears;
      const E = first!.modules.length;
      const { outFeatures: out } = first!;
      const a = owned(model.device.empty([E, rank, first!.inFeatures]), `${path}.lora_A.weight`);
      const b = owned(model.device.empty([linears.length, E, out, rank]), `${path}.lora_B.weight`);
      fused.pairs.push({ path, a, b });
      linears.forEach((linear, part) => {
        const half = owned(b.view([E, out, rank], part * E * out * rank), b.label);
        fused.layers.push(new LowRank(linear, { a, b: half, scaling, dropout: 0 }));
      });
    };
    // The wrapper of the first parameter lies inside that of the second.
    if (gateUp) add(down ? `${at}.base_layer` : at, "gate_up_proj", [mlp.parts.gate, mlp.parts.up]);
    if (down) add(at, "down_proj", [mlp.parts.down]);
  }
  return fused;
}

/** PEFT's A [r·E, in] (row e·r + k) and B [out, r·E] (column k·E + e) as our `a` and `b`. */
export function fromPeft(
  A: Float32Array,
  B: Float32Array,
  pair: FusedPair,
): { a: Float32Array; b: Float32Array } {
  const b = new Float32Array(B.length);
  eachB(pair, (ours, theirs) => {
    b[ours] = B[theirs]!;
  });
  return { a: A, b };
}

/** The way back, for saving and for comparing. */
export function toPeft(b: Float32Array, pair: FusedPair): Float32Array {
  const B = new Float32Array(b.length);
  eachB(pair, (ours, theirs) => {
    B[theirs] = b[ours]!;
  });
  return B;
}

/**
 * Before PEFT 0.19.1 the axes of fused parameters were taken the other way round (PEFT#3165): A [r·E, out], B [in, r·E],
 * with Δᵀ = B·A. The same Δ has A' = Bᵀ and B' = Aᵀ, expert by expert.
 */
export function fromOldPeft(
  A: Float32Array,
  B: Float32Array,
  pair: FusedPair,
): { A: Float32Array; B: Float32Array } {
  const [parts, E, half, r] = pair.b.shape as [number, number, number, number];
  const into = pair.a.shape[2]!;
  const out = parts * half;
  const newA = new Float32Array(r * E * into);
  const newB = new Float32Array(out * r * E);
  for (let e = 0; e < E; e++) {
    for (let k = 0; k < r; k++) {
      for (let i = 0; i < into; i++) newA[(e * r + k) * into + i] = B[i * r * E + k * E + e]!;
      for (let o = 0; o < out; o++) newB[o * r * E + k * E + e] = A[(e * r + k) * out + o]!;
    }
  }
  return { A: newA, B: newB };
}

function eachB({ b }: FusedPair, visit: (ours: number, theirs: number) => void): void {
  const [parts, E, out, r] = b.shape as [number, number, number, number];
  for (let p = 0; p < parts; p++) {
    for (let e = 0; e < E; e++) {
      for (let o = 0; o < out; o++) {
        for (let k = 0; k < r; k++) visit(((p * E + e) * out + o) * r + k, (p * out + o) * r * E + k * E + e);
      }
    }
  }
}
