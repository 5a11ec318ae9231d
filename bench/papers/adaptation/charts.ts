// Charts of arms over training.
import { halfInterval, mean } from "../findings.ts";
import { lineChart, type Point, scatterChart } from "../plot.ts";
import type { Outcome } from "./arms.ts";
import { changeOf, forgotten, learned } from "./measures.ts";

/** Mean and 95 % interval; the mean alone of one value. */
export function pointOf(x: number, values: readonly number[]): Point {
  const half = halfInterval(values) || 0;
  return { x, y: mean(values), low: mean(values) - half, high: mean(values) + half };
}

/** Learning against forgetting: each arm's points, the mean over its seeds, the last one named by its tokens. */
export function paretoChart(outcome: Outcome, title: string): string {
  return scatterChart({
    title,
    xLabel: "forgotten of the old domain, bits a byte",
    yLabel: "learned of the new domain, bits a byte",
    series: outcome.arms.map(({ name, runs }) => ({
      name,
      points: runs[0]!.points.map(({ tokens }, at) => ({
        x: mean(forgotten(outcome, name, at)),
        y: mean(learned(outcome, name, at)),
        ...(at === runs[0]!.points.length - 1 && { label: `${Math.round(tokens / 1000)}k` }),
      })),
    })),
  });
}

/** What was learned or forgotten over tokens. */
export function overTokens(outcome: Outcome, what: "learned" | "forgotten", title: string): string {
  return lineChart({
    title,
    xLabel: "thousand tokens",
    yLabel: `${what}, bits a byte, mean and 95 % interval`,
    series: outcome.arms.map(({ name, runs }) => ({
      name,
      points: [
        { x: 0, y: 0, low: 0, high: 0 },
        ...runs[0]!.points.map(({ tokens }, at) =>
          pointOf(
            tokens / 1000,
            runs.map(({ points }) => changeOf(points[at]!, outcome.base)[what]),
          ),
        ),
      ],
    })),
  });
}
