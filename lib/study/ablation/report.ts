import { numberText } from "../../report/number_text.ts";
import type { Curves, Report, Table } from "../../report/sections.ts";
import { type AblationResult, type Metric, metricsOf } from "./results.ts";
import type { AblationSettings } from "./settings.ts";
import { deviationOf, meanOf, signalOf } from "./signal.ts";

/** A line a run and point, a column a number. */
export function ablationCsv(results: readonly AblationResult[]): string {
  const first = results.find(({ points }) => points.length > 0)?.points[0];
  const metrics = first ? metricsOf(first) : [];
  const head = [
    "variant",
    "seed",
    "status",
    "step",
    "tokens",
    ...metrics.map(({ name }) => `"${name}"`),
    "reason",
  ];
  const lines = results.flatMap(({ variant, seed, status, reason, points }) => {
    const why = reason === undefined ? "" : `"${reason.replaceAll('"', '""')}"`;
    if (points.length === 0) return [[variant, seed, status, "", "", ...metrics.map(() => ""), why]];
    return points.map((p) => [variant, seed, status, p.step, p.tokens, ...metrics.map((m) => m.of(p)), why]);
  });
  return `${[head, ...lines].map((line) => line.join(",")).join("\n")}\n`;
}

/** All of an ablation on one page. */
export function ablationReport(
  name: string,
  settings: AblationSettings,
  results: readonly AblationResult[],
  tokensOf: ReadonlyMap<string, number>,
  steps: number,
): Report {
  const done = results.filter(({ status }) => status === "done");
  const first = done[0]?.points[0];
  const metrics = first ? metricsOf(first) : [];
  const { batchTokens, lr, seeds, points, questions } = settings;
  return {
    title: `mixwright ablation: ${name}`,
    created: new Date(),
    settings: {
      "tokens a model": numberText(steps * batchTokens),
      steps,
      batchTokens,
      lr,
      seeds: seeds.join(", "),
      points,
      questions,
      model: JSON.stringify(settings.model),
    },
    sections: [
      {
        kind: "facts",
        title: "Result",
        facts: { "Runs finished": `${done.length} of ${results.length}`, Variants: tokensOf.size },
        note: "Every model has the same architecture and sees the same number of tokens, none of them twice; they differ in the text alone.",
      },
      scoreTable(done, metrics),
      signalTable(done, metrics),
      ...metrics.map((metric) => curve(done, metric)),
      {
        kind: "table",
        title: "What there was to train on",
        columns: ["Variant", "Tokens"],
        rows: [...tokensOf],
      },
      failures(results),
    ],
  };
}

const variantsIn = (results: readonly AblationResult[]): string[] => [
  ...new Set(results.map(({ variant }) => variant)),
];

const endsOf = (results: readonly AblationResult[], variant: string, metric: Metric): number[] =>
  results.filter((run) => run.variant === variant).map(({ points }) => metric.of(points.at(-1)!));

/** "0.412 ± 0.003": mean and standard deviation between seeds. */
function spread(values: readonly number[]): string {
  const deviation = deviationOf(values);
  const digits = 4;
  const mean = meanOf(values).toFixed(digits);
  return Number.isFinite(deviation) ? `${mean} ± ${deviation.toFixed(digits)}` : mean;
}

function scoreTable(results: readonly AblationResult[], metrics: readonly Metric[]): Table {
  const variants = variantsIn(results);
  return {
    kind: "table",
    title: "Scores at the end",
    note: "Mean ± standard deviation between seeds. The best mean of each line has a star, which says nothing of whether the seeds could tell it apart: see the next table.",
    columns: ["", ...variants],
    rows: metrics.map((metric) => {
      const ends = variants.map((variant) => endsOf(results, variant, metric));
      const best = Math.max(...ends.map((values) => metric.better * meanOf(values)));
      return [
        `${metric.name} ${metric.better > 0 ? "↑" : "↓"}`,
        ...ends.map((values) => `${spread(values)}${metric.better * meanOf(values) === best ? " ★" : ""}`),
      ];
    }),
  };
}

function signalTable(results: readonly AblationResult[], metrics: readonly Metric[]): Table {
  const text = (value: number): string =>
    Number.isNaN(value) ? "–" : numberText(Number(value.toPrecision(3)));
  return {
    kind: "table",
    title: "Which scores can be trusted",
    note: "Monotonicity: Spearman's correlation of step and score, 1 for steady improvement (FineTasks asks for 0.5). Signal to noise: a variant's mean over its deviation between seeds (FineTasks asks for 20). Separation: how many such deviations lie between the best variant and the worst.",
    columns: ["", "Monotonicity", "Signal to noise", "Separation"],
    rows: metrics.map((metric) => {
      const { monotonicity, signalToNoise, separation } = signalOf(results, metric);
      return [metric.name, text(monotonicity), text(signalToNoise), text(separation)];
    }),
  };
}

function curve(results: readonly AblationResult[], metric: Metric): Curves {
  return {
    kind: "curves",
    title: metric.name,
    note: "The mean over seeds.",
    xLabel: "step",
    yLabel: metric.name.split(",")[0]!,
    series: variantsIn(results).map((variant) => {
      const runs = results.filter((run) => run.variant === variant);
      return {
        name: variant,
        points: runs[0]!.points.map(({ step }, i) => [
          step,
          meanOf(runs.map(({ points }) => metric.of(points[i]!))),
        ]),
      };
    }),
  };
}

const failures = (results: readonly AblationResult[]): Table => ({
  kind: "table",
  title: "Every run",
  columns: ["Variant", "Seed", "Outcome"],
  rows: results.map(({ variant, seed, reason }) => [variant, seed, reason ?? "done"]),
});
