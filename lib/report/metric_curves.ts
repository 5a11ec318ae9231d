import type { StepMetrics } from "../train/metrics.ts";
import type { Curves, Series } from "./sections.ts";
import { type Point, smooth } from "./smooth.ts";

/** Fewer steps than this are drawn as they are, without a smoothed curve. */
const kSmoothedSteps = 100;

/** The values of one metric, at the steps that have it. */
export function pointsOf(steps: readonly StepMetrics[], key: keyof StepMetrics): Point[] {
  return steps.filter((m) => m[key] !== undefined).map((m) => [m.step, m[key] as number]);
}

/** A noisy curve, pale, and its smoothed one; short curves as they are. */
export function withSmoothed(name: string, points: readonly Point[], smoothed = "smoothed"): Series[] {
  if (points.length < kSmoothedSteps) return [{ name, points }];
  return [
    { name, points, faint: true },
    { name: smoothed, points: smooth(points) },
  ];
}

/** What was measured on a validation set over a run: its loss, or a metric of the name `key`. */
interface Validation {
  set: string;
  key: string | undefined;
  points: Point[];
}

/** In the order in which they came up. A metric stands under "set/key" beside the loss, which stands under "set". */
export function validationsOf(steps: readonly StepMetrics[]): Validation[] {
  const curves = new Map<string, Point[]>();
  for (const { step, validation } of steps) {
    for (const [name, value] of Object.entries(validation ?? {})) {
      if (!curves.has(name)) curves.set(name, []);
      curves.get(name)!.push([step, value]);
    }
  }
  return [...curves].map(([name, points]) => {
    const set = [...curves.keys()].find((other) => name.startsWith(`${other}/`));
    return { set: set ?? name, key: set === undefined ? undefined : name.slice(set.length + 1), points };
  });
}

/** What a chart shows: metrics by key, each under a name. */
export interface Chart {
  title: string;
  note: string;
  yLabel: string;
  metrics: Readonly<Record<string, string>>;
  log?: boolean;
}

/** A chart of metrics, and of the same on validation sets; none if the run has none of them. */
export function chartOf(
  steps: readonly StepMetrics[],
  { metrics, log = false, ...heading }: Chart,
): Curves[] {
  const measured = validationsOf(steps);
  const one = Object.keys(metrics).length === 1;
  const series = Object.entries(metrics).flatMap(([key, name]) => {
    const points = pointsOf(steps, key as keyof StepMetrics);
    const own = points.length === 0 ? [] : withSmoothed(name, points, one ? undefined : `${name}, smoothed`);
    const validation = measured
      .filter((one) => one.key === key)
      .map(({ set, points }): Series => ({ name: one ? set : `${set}, ${name}`, points }));
    return [...own, ...validation];
  });
  return series.length === 0 ? [] : [{ kind: "curves", ...heading, xLabel: "step", series, log }];
}
