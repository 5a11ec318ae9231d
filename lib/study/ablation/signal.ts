import type { AblationResult, Metric } from "./results.ts";

/** How much a metric tells about the variants it compares. NaN where there are too few seeds or points to say. */
export interface Signal {
  /** Spearman's rank correlation of step and score, turned so that 1 is steady improvement; the mean over runs. */
  monotonicity: number;
  /** Mean score at the end over its standard deviation between seeds; the mean over variants. */
  signalToNoise: number;
  /** Distance of the best variant's mean from the worst one's, in standard deviations between seeds (pooled over variants). */
  separation: number;
}

/** Spearman's ρ: Pearson's correlation of ranks, equal values sharing their mean rank. NaN if either side is constant. */
export function spearman(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [ranks(a), ranks(b)];
  const center = (values: number[]): number[] => {
    const mean = meanOf(values);
    return values.map((v) => v - mean);
  };
  const [u, v] = [center(x), center(y)];
  const dot = (p: number[], q: number[]): number => p.reduce((sum, value, i) => sum + value * q[i]!, 0);
  return dot(u, v) / Math.sqrt(dot(u, u) * dot(v, v));
}

function ranks(values: readonly number[]): number[] {
  const sorted = [...values].sort((p, q) => p - q);
  return values.map((value) => (sorted.indexOf(value) + sorted.lastIndexOf(value)) / 2);
}

export const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** With n − 1. NaN for fewer than two values. */
export function deviationOf(values: readonly number[]): number {
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

/**
 * What FineWeb's ablations ask of a benchmark before they trust it (Penedo et al. 2024, §3.1; FineTasks made numbers of it).
 * Runs that failed are left out.
 */
export function signalOf(results: readonly AblationResult[], metric: Metric): Signal {
  const done = results.filter(({ status }) => status === "done");
  const steady = done
    .map(({ points }) =>
      spearman(
        points.map(({ step }) => step),
        points.map((point) => metric.better * metric.of(point)),
      ),
    )
    .filter(Number.isFinite);
  const byVariant = [...new Set(done.map(({ variant }) => variant))].map((name) =>
    done.filter(({ variant }) => variant === name).map(({ points }) => metric.of(points.at(-1)!)),
  );
  const several = byVariant.filter((scores) => scores.length > 1);
  const means = byVariant.map(meanOf);
  const pooled = Math.sqrt(meanOf(several.map((scores) => deviationOf(scores) ** 2)));
  return {
    monotonicity: meanOf(steady),
    signalToNoise: meanOf(several.map((scores) => meanOf(scores) / deviationOf(scores))),
    separation: (Math.max(...means) - Math.min(...means)) / pooled,
  };
}
