import type { DType } from "../../lib/core/dtype.ts";
import type { Duel } from "../peers/peer_case.ts";
import type { Python } from "../peers/python.ts";
import type { Cost, Operands } from "../workload.ts";
import type { Ceilings } from "./ceilings.ts";
import type { Effort } from "./race.ts";

interface Named {
  title: string;
  dtype: DType;
}

/** The same work on both sides; a row for each setting of the peer. */
export interface GpuDuelCase extends Named {
  /** The figure that a setting of the peer counts for. */
  figures: Readonly<Record<string, string>>;
  costs: readonly Cost[];
  /** Of a training step: then the sides are compared by its loss. */
  tokens?: number;
  /** A bf16 product, whose speed is a ceiling. */
  ceiling?: true;
  make: (operands: Operands, arena: GpuArena) => Promise<GpuDuel> | GpuDuel;
}

export interface GpuDuel extends Duel {
  /** The options with which the peer's work is right in float64. Without it `check` is compared. */
  exact?: object;
}

/** A number that no duel gives. */
export interface GpuMeasuredCase extends Named {
  /** What its rows may count for. */
  figure: string;
  measure: (arena: GpuArena) => Promise<{ figure: string; value?: number; note: string }[]>;
}

export type GpuCase = GpuDuelCase | GpuMeasuredCase;

/** Where cases run. */
export interface GpuArena {
  peer: Python | undefined;
  /** Ours: "cuda", or another to try the plumbing. */
  device: string;
  /** For files that both sides read. */
  folder: string;
  effort: Effort;
  ceilings: Ceilings;
}

/** The settings of the peer, by the name of each. */
export const settingsOf = (names: readonly string[], common: object = {}): Record<string, object> =>
  Object.fromEntries(names.map((kind) => [kind, { kind, ...common }]));
