// What came out, beside the paper's claims: tables, charts and the verdicts.
import { type Metric, metricsOf } from "../../../lib/study/ablation/results.ts";
import { signalOf } from "../../../lib/study/ablation/signal.ts";
import { deviation, type Finding, halfInterval, markdownTable, mean, meanText } from "../findings.ts";
import { barChart, lineChart } from "../plot.ts";
import { type Fineweb, kControl } from "./study.ts";
import { kFilters } from "./texts.ts";

const kMean = "bits per byte, mean";
const kSentence = "accuracy by length, sentence";

function metricsIn({ results }: Fineweb): Metric[] {
  return metricsOf(results.find(({ points }) => points.length > 0)!.points[0]!);
}

const metricOf = (study: Fineweb, name: string): Metric =>
  metricsIn(study).find((metric) => metric.name === name)!;

/** What the models of a variant scored at their end, seed after seed. */
function endsOf({ results }: Fineweb, variant: string, metric: Metric): number[] {
  const runs = results.filter((run) => run.variant === variant && run.status === "done");
  return runs.map(({ points }) => metric.of(points.at(-1)!));
}

const variantsIn = ({ results }: Fineweb): string[] => [...new Set(results.map(({ variant }) => variant))];

/**
 * "a is better than b": the difference by seed of the mean bits per byte. "yes" where its 95 % interval lies on the claimed
 * side, "in part" where only its mean does.
 */
function better(study: Fineweb, a: string, b: string, claim: string, paper: string): Finding {
  const metric = metricOf(study, kMean);
  const [ours, theirs] = [endsOf(study, a, metric), endsOf(study, b, metric)];
  const saved = theirs.map((value, seed) => value - ours[seed]!);
  const [center, half] = [mean(saved), halfInterval(saved)];
  const holds = center - half > 0 ? "yes" : center > 0 ? "in part" : "no";
  const figures = `${b} ${meanText(theirs, 4)} → ${a} ${meanText(ours, 4)} (less by ${meanText(saved, 4)})`;
  return { claim, paper, ours: figures, holds };
}

const percent = (share: number, digits = 1): string => `${(100 * share).toFixed(digits)} %`;

/** Share of the text that a filter takes away where all others are applied. */
const removedBy = ({ passages }: Fineweb, filter: string): number =>
  1 - passages.filtered! / passages[`without-${filter}`]!;

/** "yes" from half the paper's share to double. */
function takesAway(study: Fineweb, filter: string, words: string, paper: number): Finding {
  const share = removedBy(study, filter);
  return {
    claim: `${words} take away about ${percent(paper, 0)} of the text`,
    paper: percent(paper, 0),
    ours: percent(share),
    holds: share >= paper / 2 && share <= 2 * paper ? "yes" : "no",
  };
}

export function finewebFindings(study: Fineweb): Finding[] {
  const { passages, copies, junk } = study;
  const claim = (name: string, paper: string): Finding =>
    better(study, "filtered", `without-${name}`, `${name}: the filter helps, all others applied`, paper);
  const sentence = endsOf(study, "filtered", metricOf(study, kSentence));
  const loss = signalOf(study.results, metricOf(study, kMean));
  const choice = signalOf(study.results, metricOf(study, kSentence));
  const trusted = ({ monotonicity, signalToNoise }: typeof loss): boolean =>
    monotonicity >= 0.5 && signalToNoise > 20;
  const signal = ({ monotonicity, signalToNoise, separation }: typeof loss): string =>
    `Spearman ${monotonicity.toFixed(2)}, signal to noise ${signalToNoise.toFixed(0)}, best and worst variant ${separation.toFixed(1)} deviations apart`;
  return [
    better(study, "raw", "whole-page", "main text beats all text of a page", "above WET (figure only)"),
    better(study, "filtered", "raw", "filtered beats unfiltered", "above (figure only)"),
    better(
      study,
      "filtered",
      kControl,
      "the same, with as much of each package in both",
      "(not in the paper)",
    ),
    claim("gopherRepetition", "part of the base filters"),
    claim("gopherQuality", "part of the base filters"),
    claim("c4", "above, all rules but the terminal mark"),
    claim("fineweb", "+1 % of the aggregate score"),
    better(study, "filtered-unique", "filtered", "MinHash helps", "per dump: above"),
    better(study, "copies-unique", "copies", "MinHash helps where copies were planted", "(not in the paper)"),
    {
      claim: "MinHash finds the copies that were planted",
      paper: "P(match) 0.99 at similarity 0.85",
      ours: `${copies.removed} of ${passages.copies} passages removed, ${copies.planted} planted`,
      holds: copies.removed / copies.planted > 0.95 ? "yes" : "in part",
    },
    better(study, "junk-filtered", "junk", "filters help where junk was planted", "(not in the paper)"),
    {
      claim: "the filters find the junk that was planted",
      paper: "(not in the paper)",
      ours: `${junk.removed} of ${junk.planted} pages dropped`,
      holds: junk.removed / junk.planted > 0.95 ? "yes" : "in part",
    },
    takesAway(study, "c4", "C4's rules but the terminal mark", 0.07),
    takesAway(study, "fineweb", "the filters of its own", 0.22),
    {
      claim: "held-out loss can be trusted (FineTasks)",
      paper: "Spearman ≥ 0.5, signal to noise > 20",
      ours: signal(loss),
      holds: trusted(loss) ? "yes" : "no",
    },
    {
      claim: "so can questions",
      paper: "the same, and above chance",
      ours: `${signal(choice)}; sentences ${meanText(sentence)} right, chance 0.25`,
      holds: trusted(choice)
        ? mean(sentence) - (halfInterval(sentence) || 0) > 0.25
          ? "yes"
          : "in part"
        : "no",
    },
  ];
}

/** Scores at the end: mean ± half the 95 % interval over seeds. */
export function scoresTable(study: Fineweb): string {
  const metrics = metricsIn(study).filter(({ name }) => !name.startsWith("accuracy, "));
  const table = markdownTable(
    ["texts", "passages", ...metrics.map(({ name }) => name)],
    variantsIn(study).map((variant) => [
      variant,
      study.passages[variant]!,
      ...metrics.map((metric) => meanText(endsOf(study, variant, metric), metric.better < 0 ? 4 : 3)),
    ]),
  );
  const { planted, removed } = study.junk;
  if (removed < planted) return table;
  const [once, again] = ["filtered", "junk-filtered"].map((name) =>
    mean(endsOf(study, name, metricOf(study, kMean))),
  );
  const apart = Math.abs(once! - again!).toFixed(4);
  return `${table}\n\nNothing of the junk is left, so "junk-filtered" is the text of "filtered", drawn anew: their means are ${apart} bits a byte apart by chance alone.`;
}

/** Which part of the text is of which package, before and after the filters. */
export function mixTable({ mix }: Fineweb): string {
  const rows = Object.entries(mix.raw).map(([name, share]) => [
    name,
    percent(share),
    percent(mix.filtered[name] ?? 0),
  ]);
  return markdownTable(["package", "of raw text", "of filtered text"], rows);
}

const kPaper: Readonly<Record<(typeof kFilters)[number], string>> = {
  gopherRepetition: "–",
  gopherQuality: "–",
  c4: "7 % of tokens (all but the terminal mark)",
  fineweb: "about 22 % of tokens (terminal marks 10.14, duplicate lines 12.47, short lines 3.73)",
};

/** What each filter takes away. */
export function removedTable(study: Fineweb): string {
  const { steps, read } = study.texts.filtered!;
  const rows = kFilters.map((name) => {
    const { in: came, out } = steps[`filter.${name}`]!;
    return [name, came, percent(1 - out / came), percent(removedBy(study, name)), kPaper[name]];
  });
  const global = study.texts["filtered-unique"]!;
  const byPackage = study.texts["unique-by-package"]!;
  const note =
    `${read} pages in the crawl; ${study.texts.raw!.kept} are English and of no held-out package, ${study.texts.filtered!.kept} pass all filters. ` +
    `MinHash removes ${global.duplicates} of those over all pages, ${byPackage.duplicates} within each package (the paper's dumps)` +
    `${global.duplicates === byPackage.duplicates ? ": which of the two is better can't be asked of this crawl" : ""}.`;
  return `${markdownTable(["filter", "pages that reach it", "of these dropped", "text that it alone removes", "paper"], rows)}\n\n${note}`;
}

export function scoresPlot(study: Fineweb): string {
  const metric = metricOf(study, kMean);
  const raw = mean(endsOf(study, "raw", metric));
  return barChart({
    title: "Held-out bits per byte saved against raw main text, at equal tokens",
    yLabel: "bits per byte saved",
    groups: [""],
    series: variantsIn(study).map((name) => ({
      name,
      values: [endsOf(study, name, metric).map((value) => raw - value)],
    })),
  });
}

export function curvesPlot(study: Fineweb): string {
  const metric = metricOf(study, kMean);
  return lineChart({
    title: "Held-out bits per byte as training goes on",
    xLabel: "tokens",
    yLabel: "bits per byte",
    fromZero: false,
    series: variantsIn(study).map((name) => {
      const runs = study.results.filter((run) => run.variant === name && run.status === "done");
      return {
        name,
        points: runs[0]!.points.map(({ tokens }, i) => {
          const values = runs.map(({ points }) => metric.of(points[i]!));
          const [center, half] = [mean(values), deviation(values)];
          return { x: tokens, y: center, low: center - half, high: center + half };
        }),
      };
    }),
  });
}
