import type { StepMetrics } from "../train/metrics.ts";
import { pointsOf, withSmoothed } from "./metric_curves.ts";
import type { Curves, Series } from "./sections.ts";

/** Where each phase of a run begins; none for a run without phases. */
export function phaseBorders(steps: readonly StepMetrics[]): { x: number; name: string }[] {
  return steps.flatMap(({ step, phase }, i) =>
    phase !== undefined && phase !== steps[i - 1]?.phase ? [{ x: step, name: phase }] : [],
  );
}

/** Whether a metric has its place in the charts of sources. */
export const isOfSource = (key: string): boolean => /^(forgetting|loss|tokens)\//.test(key);

/** Charts of a run on several sources: the loss on each, what each gave, and what is forgotten. */
export function sourceSections(steps: readonly StepMetrics[]): Curves[] {
  return [
    ...chart(steps, "forgetting/", {
      title: "Forgetting",
      note: "By how much the loss on each validation set is above its lowest so far, before the first step included. 0: never better.",
      yLabel: "nats above the lowest loss",
    }),
    ...chart(steps, "loss/", {
      title: "Loss by source",
      note: "Mean cross-entropy over each source's part of the training data.",
      yLabel: "loss",
      smoothed: true,
    }),
    ...chart(steps, "tokens/", {
      title: "Tokens by source",
      note: "Since the first step.",
      yLabel: "tokens",
    }),
  ];
}

interface Heading {
  title: string;
  note: string;
  yLabel: string;
  smoothed?: boolean;
}

/** One chart of all metrics of a group. */
function chart(
  steps: readonly StepMetrics[],
  group: "forgetting/" | "loss/" | "tokens/",
  { smoothed = false, ...heading }: Heading,
): Curves[] {
  const names = new Set<string>();
  for (const m of steps)
    for (const key of Object.keys(m)) if (key.startsWith(group)) names.add(key.slice(group.length));
  if (names.size === 0) return [];
  const series = [...names].flatMap((name): Series[] => {
    const points = pointsOf(steps, `${group}${name}`);
    return smoothed ? withSmoothed(name, points, `${name}, smoothed`) : [{ name, points }];
  });
  return [{ kind: "curves", ...heading, xLabel: "step", series }];
}
