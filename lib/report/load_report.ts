import type { StepMetrics } from "../train/metrics.ts";
import type { Section } from "./sections.ts";
import type { Point } from "./smooth.ts";

/** Times shown of the load of the experts, evenly spread over the run. */
const kMostFrames = 50;

/** How evenly the tokens went to the experts, over time and in each layer; none for a dense model. */
export function loadSections(steps: readonly StepMetrics[]): Section[] {
  const measured = steps.filter((m) => m.expertLoad !== undefined && m.expertLoad.length > 0);
  if (measured.length === 0) return [];
  const last = measured.at(-1)!.expertLoad!;
  const experts = Math.max(...last.map((layer) => layer.length));
  const busiest = measured.map(({ step, expertLoad }) => ({
    step,
    byLayer: expertLoad!.map((layer) => Math.max(...layer) * layer.length),
  }));
  return [
    {
      kind: "curves",
      title: "Busiest expert",
      note: "Tokens of the layer's busiest expert as a multiple of the balanced share; 1 is perfect balance.",
      xLabel: "step",
      yLabel: "× balanced",
      series: [
        { name: "worst layer", points: busiest.map((b): Point => [b.step, Math.max(...b.byLayer)]) },
        { name: "mean over layers", points: busiest.map((b): Point => [b.step, mean(b.byLayer)]) },
      ],
    },
    {
      kind: "heatMap",
      title: "Expert load",
      note: "Share of a layer's routed tokens that each expert took on the first validation batch; sparse layers only, counted from 0.",
      rowLabel: "layer",
      columnLabel: "expert",
      rows: last.map((_, layer) => String(layer)),
      columns: Array.from({ length: experts }, (_, expert) => String(expert)),
      frames: spread(measured).map((m) => ({ name: `step ${m.step}`, values: m.expertLoad! })),
      balanced: 1 / experts,
      percent: true,
    },
  ];
}

/** At most `kMostFrames` of the items, evenly spread, with the first and the last. */
function spread<T>(items: readonly T[]): T[] {
  const count = Math.min(items.length, kMostFrames);
  if (count < 2) return [...items];
  return Array.from({ length: count }, (_, i) => items[Math.round((i * (items.length - 1)) / (count - 1))]!);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}
