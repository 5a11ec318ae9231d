import { ConfigError } from "../core/errors.ts";
import { checkWhole } from "../core/options.ts";
import type { BatchSource } from "../text/token_batch.ts";

/** A part of a run with data of its own. */
export interface OpenPhase {
  name: string;
  /** Updates of the phase. */
  steps: number;
  /** What becomes of the optimizer's moments when the phase begins. */
  optimizer: "keep" | "reset";
  source: BatchSource;
}

/** Phases one after another, as one run. */
export interface PhasePlan {
  /** Updates of all phases. */
  steps: number;
  /** Each phase's batches from its own first one on. */
  source: BatchSource;
  /** The phase that update `step`, counted from 1, belongs to; `resets` where it begins with a reset of the optimizer. */
  at(step: number): { name: string; resets: boolean };
}

/**
 * A plan that depends on the number of the update alone: a run that is resumed needs nothing but its step. More steps than
 * all phases have belong to the last one.
 */
export function planPhases(phases: readonly OpenPhase[], accumulationSteps = 1): PhasePlan {
  if (phases.length === 0)
    throw new ConfigError("pretrain: phases is empty, at least one was needed", "phases");
  for (const { name, steps, optimizer } of phases) {
    checkWhole(`pretrain, phase ${name}`, { steps }, 1);
    if (optimizer !== "keep" && optimizer !== "reset") {
      throw new ConfigError(
        `pretrain, phase ${name}: optimizer is ${JSON.stringify(optimizer)}, "keep" or "reset" was needed`,
        "optimizer",
      );
    }
    if (phases.filter((other) => other.name === name).length > 1)
      throw new ConfigError(`pretrain: two phases are named ${name}. Give each a name of its own`, "phases");
  }
  const begins = phases.map((_, k) => phases.slice(0, k).reduce((sum, { steps }) => sum + steps, 0));
  const phaseOf = (step: number): number => begins.findLastIndex((begin) => begin < step);
  return {
    steps: phases.reduce((sum, { steps }) => sum + steps, 0),
    source: {
      fingerprint: {
        phases: phases.map(({ optimizer, source }, k) => ({
          begin: begins[k],
          optimizer,
          ...source.fingerprint,
        })),
      },
      batch(index) {
        const k = phaseOf(Math.floor(index / accumulationSteps) + 1);
        return phases[k]!.source.batch(index - begins[k]! * accumulationSteps);
      },
    },
    at(step) {
      const k = phaseOf(step);
      const { name, optimizer } = phases[k]!;
      return { name, resets: optimizer === "reset" && step === begins[k]! + 1 };
    },
  };
}
