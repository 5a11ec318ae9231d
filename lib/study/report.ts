import { numberText, percentText } from "../report/number_text.ts";
import type { Curves, HeatMap, RangeBars, Report, Scatter, Section, Table } from "../report/sections.ts";
import { type BaseResult, msPerToken, peakBytes, type StudyPoint, type StudyResult } from "./results.ts";
import { mean, rowOf, type TradeOff, tradeOff } from "./rows.ts";
import type { StudySettings } from "./settings.ts";
import {
  driftCorrelation,
  driftPairs,
  kindsIn,
  type MethodSummary,
  meanCurve,
  paretoFront,
  summarize,
} from "./summary.ts";

const kForgotten = "forgotten (nats/token)";
const kLearned = "learned (nats/token)";

/** All of a study on one page. */
export function studyReport(
  name: string,
  settings: StudySettings,
  base: BaseResult,
  results: readonly StudyResult[],
  planned: number,
): Report {
  const methods = summarize(results);
  const failed = results.filter(({ status }) => status === "failed").length;
  const { methods: _methods, lr, seeds, ...rest } = settings;
  const shown = { ...rest, lr: lr.join(", "), seeds: seeds.join(", ") };
  return {
    title: `mixwright study: ${name}`,
    created: new Date(),
    settings: Object.fromEntries(
      Object.entries(shown).flatMap(([key, value]) =>
        value === undefined || value === "" ? [] : [[key, typeof value === "number" ? value : String(value)]],
      ),
    ),
    sections: [
      {
        kind: "facts",
        title: "Result",
        facts: {
          "Runs finished": `${results.length - failed} of ${planned}`,
          "Runs failed": failed,
          "Base model, new domain": base.new.loss,
          "Base model, old domain": base.old.loss,
          ...Object.fromEntries(
            methods.flatMap(({ method, best }) => learnedFact(method.label, best?.loss, base)),
          ),
        },
        note: "Losses are in nats a token. Learned: by how much the loss on the new domain's held-out text fell.",
      },
      paretoPlot(methods, base),
      coursePlot(methods, base),
      ...lossCurves(methods, base),
      bestTable(methods, base),
      ...sweep(methods),
      ...rankBars(methods, settings),
      ...driftSections(methods),
      costTable(methods),
      runTable(results, base),
      { kind: "text", title: "How it was measured", text: method(settings) },
    ],
  };
}

const learnedFact = (label: string, loss: number | undefined, base: BaseResult): [string, number][] =>
  loss === undefined ? [] : [[`Learned by ${label}`, base.new.loss - loss]];

/** Every finished run at its end, and the front. */
function paretoPlot(methods: readonly MethodSummary[], base: BaseResult): Scatter {
  const ends = methods.map(({ method, rates }) => ({
    name: method.label,
    points: rates
      .flatMap(({ runs }) => runs)
      .map((run): TradeOff & { label: string } => ({
        ...tradeOff(run.points.at(-1)!, base),
        label: run.run.name,
      })),
  }));
  const front = paretoFront(ends.flatMap(({ points }) => points));
  const xy = ({ learned, forgotten, label }: TradeOff & { label: string }) => ({
    x: forgotten,
    y: learned,
    label,
  });
  return {
    kind: "scatter",
    title: "Learning against forgetting",
    note: "Every finished run at its end. Up: more learned of the new domain; left: less forgotten of the old one. No run is better on both sides than one on the front.",
    xLabel: kForgotten,
    yLabel: kLearned,
    series: [
      ...ends.map(({ name, points }) => ({ name, points: points.map(xy) })),
      ...(front.length > 1 ? [{ name: "Pareto front", points: front.map(xy), line: "only" as const }] : []),
    ],
  };
}

/** Each method at its best rate, from the base model on. */
function coursePlot(methods: readonly MethodSummary[], base: BaseResult): Scatter {
  return {
    kind: "scatter",
    title: "The way there",
    note: "Each method at its best learning rate, the mean over its seeds: from the base model, at 0, through the points of training.",
    xLabel: kForgotten,
    yLabel: kLearned,
    series: methods.flatMap(({ method, best }) => {
      if (!best) return [];
      const at = (side: keyof TradeOff) => meanCurve(best.runs, (point) => tradeOff(point, base)[side]);
      const learned = at("learned");
      const points = at("forgotten").map(([step, x], i) => ({
        x,
        y: learned[i]![1],
        label: `${method.label}, step ${step}`,
      }));
      return [{ name: method.label, line: true, points: [{ x: 0, y: 0, label: "base model" }, ...points] }];
    }),
  };
}

function lossCurves(methods: readonly MethodSummary[], base: BaseResult): Curves[] {
  const curves = (domain: "new" | "old", title: string): Curves => ({
    kind: "curves",
    title,
    note: "Held-out loss, each method at its best learning rate, the mean over its seeds.",
    xLabel: "step",
    yLabel: "nats/token",
    series: methods.flatMap(({ method, best }) => {
      if (!best) return [];
      const points = meanCurve(best.runs, (point: StudyPoint) => point[domain].loss);
      return [{ name: method.label, points: [[0, base[domain].loss] as const, ...points] }];
    }),
  });
  return [curves("new", "Loss on the new domain"), curves("old", "Loss on the old domain")];
}

function bestTable(methods: readonly MethodSummary[], base: BaseResult): Table {
  return {
    kind: "table",
    title: "Each method at its best learning rate",
    note: "The rate with the lowest loss at the end on the new domain's text for choosing, which the rest of this page leaves out; one that failed for some seed is passed over while another finished. Means over seeds; “at the edge”: the best was the lowest or highest rate tried, a wider sweep may find a better one.",
    columns: [
      "Method",
      "Learning rate",
      "Seeds",
      "New: nats/token",
      "New: bits/byte",
      "Old: nats/token",
      "Old: bits/byte",
      "Learned",
      "Forgotten",
    ],
    rows: methods.map(({ method, best, atEdge }) => {
      if (!best) return [method.label, "none finished", 0, ...Array<string>(6).fill("–")];
      const ends = best.runs.map(({ points }) => points.at(-1)!);
      const of = (value: (point: StudyPoint) => number): number => mean(ends.map(value))!;
      return [
        method.label,
        `${numberText(best.lr)}${atEdge ? ", at the edge" : ""}`,
        best.runs.length,
        of((p) => p.new.loss),
        of((p) => p.new.bitsPerByte),
        of((p) => p.old.loss),
        of((p) => p.old.bitsPerByte),
        of((p) => tradeOff(p, base).learned),
        of((p) => tradeOff(p, base).forgotten),
      ];
    }),
  };
}

/** Final loss by method and learning rate, where there is more than one. */
function sweep(methods: readonly MethodSummary[]): HeatMap[] {
  const lrs = [...new Set(methods.flatMap(({ rates }) => rates.map(({ lr }) => lr)))].sort((a, b) => a - b);
  if (lrs.length < 2) return [];
  return [
    {
      kind: "heatMap",
      title: "Learning rates",
      note: "Loss on the new domain's text for choosing at the end, the mean over seeds that finished. NaN: not tried, or none finished.",
      rowLabel: "method",
      columnLabel: "lr",
      rows: methods.map(({ method }) => method.label),
      columns: lrs.map(numberText),
      frames: [
        {
          name: "at the end",
          values: methods.map(({ rates }) =>
            lrs.map((lr) => rates.find((r) => r.lr === lr)?.choice ?? Number.NaN),
          ),
        },
      ],
    },
  ];
}

function rankBars(
  methods: readonly MethodSummary[],
  { variance, largestSpectrum }: StudySettings,
): RangeBars[] {
  const groups = methods.flatMap(({ method, best }) => {
    const ranks = best?.runs.flatMap(({ points }) => points.at(-1)!.ranks) ?? [];
    const kinds = [...new Set(ranks.map(({ kind }) => kind))];
    const bars = kinds.map((kind) => {
      const own = ranks.filter((r) => r.kind === kind);
      const values = own.map(({ rank }) => rank);
      return {
        name: `${kind}, ${Math.max(...own.map(({ of }) => of))} at most`,
        mean: mean(values)!,
        min: values.reduce((a, b) => Math.min(a, b)),
        max: values.reduce((a, b) => Math.max(a, b)),
      };
    });
    return bars.length === 0 ? [] : [{ name: method.label, bars }];
  });
  if (groups.length === 0) return [];
  const left = methods
    .flatMap(({ best }) => best?.runs ?? [])
    .reduce((n, { points }) => n + points.at(-1)!.unranked, 0);
  const note = `Singular directions that hold ${percentText(variance)} of the variance of what training added to a matrix, W − W₀, by kind of layer: mean, lowest and highest over matrices and seeds.`;
  return [
    {
      kind: "rangeBars",
      title: "Rank of the change",
      note:
        left === 0
          ? note
          : `${note} Left out: ${numberText(left)} matrices with more than ${largestSpectrum} rows and columns.`,
      valueLabel: "mean",
      reference: 0,
      groups,
    },
  ];
}

function driftSections(methods: readonly MethodSummary[]): Section[] {
  const trained = methods.flatMap(({ method, best }) =>
    best ? [{ label: method.label, runs: best.runs }] : [],
  );
  if (trained.length === 0) return [];
  const kinds = kindsIn(trained.flatMap(({ runs }) => runs));
  const text = (value: number): string | number => (Number.isFinite(value) ? Number(value.toFixed(3)) : "–");
  return [
    {
      kind: "table",
      title: "Magnitude and direction: correlation",
      note: "Pearson's correlation of ΔD and ΔM over all matrices and points, each method at its best learning rate. The paper on DoRA (§3.2) found −0.62 for full training, −0.31 for DoRA, +0.83 for LoRA, on a vision-language model's query weights.",
      columns: ["Method", "all layers", ...kinds],
      rows: trained.map(({ label, runs }) => [
        label,
        text(driftCorrelation(runs)),
        ...kinds.map((kind) => text(driftCorrelation(runs, kind))),
      ]),
    },
    {
      kind: "scatter",
      title: "Magnitude and direction",
      note: "A mark for each matrix at each point. ΔM: mean change of the norm of a weight's rows; ΔD: mean of 1 − cosine between a row and what it was. Rows are output features.",
      xLabel: "ΔD",
      yLabel: "ΔM",
      series: trained.map(({ label, runs }) => ({
        name: label,
        points: driftPairs(runs).map(({ direction, magnitude, label }) => ({
          x: direction,
          y: magnitude,
          label,
        })),
      })),
    },
  ];
}

function costTable(methods: readonly MethodSummary[]): Table {
  const mib = (bytes: number | undefined): string | number =>
    bytes === undefined ? "–" : Number((bytes / 2 ** 20).toPrecision(4));
  return {
    kind: "table",
    title: "Memory and time",
    note: "Memory: most bytes of tensors at a time while training, the highest of a method's runs. Time: median over steps, the mean over runs; compare it only between runs that had the machine to themselves alike.",
    columns: ["Method", "Trainable numbers", "Peak MiB", "µs/token"],
    rows: methods.map(({ method, rates }) => {
      const runs = rates.flatMap((rate) => rate.runs);
      const peaks = runs.flatMap((run) => peakBytes(run) ?? []);
      const time = mean(runs.flatMap((run) => msPerToken(run) ?? []));
      return [
        method.label,
        runs[0]?.parameters ?? "–",
        mib(peaks.length === 0 ? undefined : Math.max(...peaks)),
        time === undefined ? "–" : Number((1000 * time).toPrecision(4)),
      ];
    }),
  };
}

function runTable(results: readonly StudyResult[], base: BaseResult): Table {
  return {
    kind: "table",
    title: "Every run",
    note: "As in runs.csv; points.csv has the points in between.",
    columns: ["Run", "Step", "New: nats/token", "Old: nats/token", "Learned", "Forgotten", "Outcome"],
    rows: results.map((result) => {
      const { run, step, newLoss, oldLoss, learned, forgotten, reason } = rowOf(result, base);
      const numbers = [newLoss, oldLoss, learned, forgotten].map((value) => value ?? "–");
      return [run, step, ...numbers, reason ?? "done"];
    }),
  };
}

const method = ({
  steps,
  schedule,
  batchTokens,
  variance,
  largestSpectrum,
  choiceHeldOut,
}: StudySettings): string =>
  `All runs start from the same model and take ${steps} updates with AdamW, the same for all but for the learning rate (${schedule}, after a warm-up). Held-out texts are cut at ${batchTokens} tokens or the model's positions, as in training. A point inside of a run is measured at the learning rate that holds there, which is not what a shorter run would end with.

Bits a byte are all the loss there is over the bytes of the text: they compare models with other tokenizers.

The learning rate of a method is chosen on ${choiceHeldOut === undefined ? "one half of the new domain's held-out text, and its learning is reported on the other" : "a held-out text of its own, and its learning is reported on another"}: the best of many rates isn't the one that happened to suit the text that is reported.

The rank of a change is the smallest number of singular directions whose squared singular values hold ${percentText(variance)} of the sum of all: eigenvalues of the Gram matrix, by reflections to a tridiagonal matrix and QR steps in float64, of matrices whose shorter side has ${largestSpectrum} numbers at most. An adapter's change is that of the merged weight in f32.`;
