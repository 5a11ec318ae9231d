import type { StepMetrics } from "../train/metrics.ts";
import { alignmentFacts, alignmentSections, lossMeaning } from "./alignment_report.ts";
import { loadSections } from "./load_report.ts";
import { chartOf, pointsOf, validationsOf, withSmoothed } from "./metric_curves.ts";
import { numberText } from "./number_text.ts";
import type { Curves, Facts, Section } from "./sections.ts";
import { phaseBorders, sourceSections } from "./source_report.ts";

/**
 * Sections for the lines of a metrics.jsonl: results, losses, what alignment measures, rates, and the load of the experts. Where a resumed run
 * wrote a step twice, the later line counts. A loss that isn't finite, null in JSON, leaves a gap.
 */
export function metricsSections(lines: readonly StepMetrics[]): Section[] {
  const steps = [...new Map(lines.map((m) => [m.step, m])).values()].sort((a, b) => a.step - b.step);
  if (steps.length === 0) return [{ kind: "text", title: "Metrics", text: "No step was recorded." }];
  const sections = [
    result(steps),
    lossCurves(steps),
    ...sourceSections(steps),
    ...alignmentSections(steps),
    ...single(steps, "lr", "Learning rate", "Of each update."),
    ...single(steps, "gradNorm", "Gradient norm", "Of all gradients together, before clipping. Log scale."),
    ...single(
      steps,
      "auxLoss",
      "Load-balancing loss",
      "Unweighted. Balanced: 1 (Switch) or top-k (Hugging Face).",
    ),
    ...single(steps, "zLoss", "Router z-loss", "Unweighted."),
    ...single(steps, "tokensPerSecond", "Tokens per second", "Of the wall clock, validation not counted."),
    ...loadSections(steps),
  ];
  const borders = phaseBorders(steps);
  if (borders.length === 0) return sections;
  return sections.map((section) => (section.kind === "curves" ? { ...section, borders } : section));
}

function result(steps: readonly StepMetrics[]): Facts {
  const last = steps.at(-1)!;
  const facts: Record<string, string | number> = { Steps: last.step, Tokens: last.tokens };
  facts["Training loss"] = mean(steps.slice(-Math.ceil(steps.length / 50)).map((m) => m.loss));
  for (const { set: name, points } of validationLosses(steps)) {
    const finite = points.filter(([, y]) => Number.isFinite(y));
    const best = finite.reduce((a, b) => (b[1] < a[1] ? b : a), finite[0] ?? points[0]!);
    facts[`Best loss on ${name} (step ${numberText(best[0])})`] = best[1];
  }
  Object.assign(facts, alignmentFacts(steps));
  facts["Tokens per second"] = Math.round(mean(steps.map((m) => m.tokensPerSecond).filter(Number.isFinite)));
  return { kind: "facts", title: "Result", facts };
}

function lossCurves(steps: readonly StepMetrics[]): Curves {
  const validation = validationLosses(steps).map(({ set, points }) => ({ name: set, points }));
  const { note, signed } = lossMeaning(steps);
  const series = [...withSmoothed("training", pointsOf(steps, "loss")), ...validation];
  const log = !signed && series.every((s) => s.points.every(([, y]) => y > 0 || !Number.isFinite(y)));
  return {
    kind: "curves",
    title: "Loss",
    note: `${note}${log ? " Log scale." : ""} Drag to zoom, double-click to go back.`,
    xLabel: "step",
    yLabel: "loss",
    series,
    log,
    wide: true,
  };
}

/** The chart of one metric, if the run has it. */
function single(
  steps: readonly StepMetrics[],
  key: "lr" | "gradNorm" | "auxLoss" | "zLoss" | "tokensPerSecond",
  title: string,
  note: string,
): Curves[] {
  const yLabel = title.toLowerCase();
  if (key !== "lr")
    return chartOf(steps, { title, note, yLabel, metrics: { [key]: "each step" }, log: key === "gradNorm" });
  return [
    {
      kind: "curves",
      title,
      note,
      xLabel: "step",
      yLabel,
      series: [{ name: yLabel, points: pointsOf(steps, key) }],
    },
  ];
}

/** The loss on each validation set; what else was measured there has charts of its own. */
const validationLosses = (steps: readonly StepMetrics[]) =>
  validationsOf(steps).filter(({ key }) => key === undefined);

/** NaN for none, and if any isn't finite. */
function mean(values: readonly number[]): number {
  return values.reduce((sum, v) => sum + (Number.isFinite(v) ? v : Number.NaN), 0) / values.length;
}
