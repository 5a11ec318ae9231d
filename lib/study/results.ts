import type { TextEvaluation } from "../train/evaluate.ts";
import type { StudyRun } from "./grid.ts";

/** Loss in nats a token, and bits a byte, which don't depend on the tokenizer. */
export type DomainLoss = Pick<TextEvaluation, "loss" | "bitsPerByte">;

/** A model on the held-out texts. */
export interface DomainLosses {
  /** On a part of the new domain that nothing is reported of: learning rates are chosen by it. */
  choice: DomainLoss;
  /** On the new domain: what is learned. */
  new: DomainLoss;
  /** On the old domain: what is forgotten. */
  old: DomainLoss;
}

export type LayerKind = "attention" | "experts" | "mlp" | "head";

/** How far one matrix has moved from the base model's; see driftOf. */
export interface ModuleDrift {
  module: string;
  kind: LayerKind;
  magnitude: number;
  direction: number;
}

/** Directions that hold most of the variance of what training added to one matrix. */
export interface ModuleRank {
  module: string;
  kind: LayerKind;
  rank: number;
  /** The most there could be: its shorter side. */
  of: number;
}

/** A run at one of its points. */
export interface StudyPoint extends DomainLosses {
  step: number;
  tokens: number;
  drift: ModuleDrift[];
  /** Of each matrix that isn't too large: 0 for one that hasn't changed. */
  ranks: ModuleRank[];
  /** Matrices that were too large. */
  unranked: number;
  /** Median over the steps before it, of the wall clock; absent where all of them were done before the run was resumed. */
  msPerToken?: number;
  /** Most bytes of tensors at a time while training; absent where measuring took more. */
  peakBytes?: number;
}

/** What became of a run. */
export interface StudyResult {
  run: StudyRun;
  status: "done" | "failed";
  /** Why it failed. */
  reason?: string;
  /** Numbers that trained. 0 for a run that failed before it knew. */
  parameters: number;
  /** As far as it came. */
  points: StudyPoint[];
}

/** The base model before any training. */
export interface BaseResult extends DomainLosses {
  /** Hash of the bytes of the held-out files. */
  sha256: string;
}

/** The part of a model that a module belongs to. */
export function kindOf(module: string): LayerKind {
  if (/\.self_attn\./.test(module)) return "attention";
  if (/\.experts\.\d+\./.test(module)) return "experts";
  return /\.layers\.\d+\./.test(module) ? "mlp" : "head";
}

/** Most bytes of tensors while training; undefined if that wasn't seen. */
export function peakBytes({ points }: StudyResult): number | undefined {
  const seen = points.flatMap((point) => point.peakBytes ?? []);
  return seen.length === 0 ? undefined : Math.max(...seen);
}

/** Median over the points; undefined without any. */
export const msPerToken = ({ points }: StudyResult): number | undefined =>
  median(points.flatMap((point) => point.msPerToken ?? []));

/** The lower one of the middle two; undefined of nothing. */
export const median = (values: readonly number[]): number | undefined =>
  [...values].sort((a, b) => a - b)[(values.length - 1) >> 1];
