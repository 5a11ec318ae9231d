import { correlation } from "./drift.ts";
import type { Method } from "./grid.ts";
import type { LayerKind, StudyPoint, StudyResult } from "./results.ts";
import { mean, type TradeOff } from "./rows.ts";

/** A method at one learning rate, over its seeds. */
export interface Rate {
  lr: number;
  /** Finished runs. */
  runs: StudyResult[];
  failed: number;
  /** Mean loss at the end on the part for choosing; undefined if no run came there. */
  choice: number | undefined;
  /** Mean loss at the end on the part that is reported. */
  loss: number | undefined;
}

/** A method over all its runs. */
export interface MethodSummary {
  method: Method;
  rates: Rate[];
  /** The rate with the lowest loss on the part for choosing; one that failed for some seed only if all did. Undefined: none finished. */
  best: Rate | undefined;
  /** The best rate is the lowest or the highest of several: a wider sweep may find a better one. */
  atEdge: boolean;
}

export function summarize(results: readonly StudyResult[]): MethodSummary[] {
  const labels = [...new Set(results.map(({ run }) => run.method.label))];
  return labels.map((label) => {
    const own = results.filter(({ run }) => run.method.label === label);
    const lrs = [...new Set(own.map(({ run }) => run.lr))].sort((a, b) => a - b);
    const rates = lrs.map((lr) =>
      rateOf(
        lr,
        own.filter(({ run }) => run.lr === lr),
      ),
    );
    const finished = rates.filter(({ choice }) => choice !== undefined);
    const whole = finished.filter(({ failed }) => failed === 0);
    const best = (whole.length > 0 ? whole : finished).reduce<Rate | undefined>(
      (a, b) => (a === undefined || b.choice! < a.choice! ? b : a),
      undefined,
    );
    const atEdge = rates.length > 1 && best !== undefined && (best === rates[0] || best === rates.at(-1));
    return { method: own[0]!.run.method, rates, best, atEdge };
  });
}

function rateOf(lr: number, all: readonly StudyResult[]): Rate {
  const runs = all.filter(({ status }) => status === "done");
  return {
    lr,
    runs,
    failed: all.length - runs.length,
    choice: mean(runs.map(({ points }) => points.at(-1)!.choice.loss)),
    loss: mean(runs.map(({ points }) => points.at(-1)!.new.loss)),
  };
}

/** The mean over finished runs of a number of each of their points, with the points' steps. */
export function meanCurve(
  runs: readonly StudyResult[],
  value: (point: StudyPoint) => number,
): [step: number, value: number][] {
  const [first] = runs;
  return (first?.points ?? []).map(({ step }, i) => [
    step,
    mean(runs.map(({ points }) => value(points[i]!)))!,
  ]);
}

/** Those than which none has learned more and forgotten less, by how much they forgot. */
export function paretoFront<T extends TradeOff>(all: readonly T[]): T[] {
  const beats = (a: T, b: T): boolean =>
    a.learned >= b.learned &&
    a.forgotten <= b.forgotten &&
    (a.learned > b.learned || a.forgotten < b.forgotten);
  return all
    .filter((one) => !all.some((other) => beats(other, one)))
    .sort((a, b) => a.forgotten - b.forgotten);
}

/** ΔD and ΔM of each matrix at each point of some runs. */
export const driftPairs = (
  runs: readonly StudyResult[],
  kind?: LayerKind,
): { direction: number; magnitude: number; label: string }[] =>
  runs.flatMap(({ run, points }) =>
    points.flatMap(({ step, drift }) =>
      drift
        .filter((one) => kind === undefined || one.kind === kind)
        .map(({ module, direction, magnitude }) => ({
          direction,
          magnitude,
          label: `${run.name}, step ${step}, ${module}`,
        })),
    ),
  );

/** Correlation of ΔD and ΔM over the matrices and points of some runs (DoRA §3.2: full −0.62, DoRA −0.31, LoRA +0.83). */
export const driftCorrelation = (runs: readonly StudyResult[], kind?: LayerKind): number =>
  correlation(driftPairs(runs, kind).map(({ direction, magnitude }) => [direction, magnitude]));

/** The kinds of layers that some runs trained. */
export const kindsIn = (runs: readonly StudyResult[]): LayerKind[] => [
  ...new Set(runs.flatMap(({ points }) => points.flatMap(({ drift }) => drift.map(({ kind }) => kind)))),
];
