// Liu et al. 2402.09353, "DoRA": its claims beside what came out.
import type { LayerKind, StudyResult } from "../../../lib/study/results.ts";
import { driftCorrelation } from "../../../lib/study/summary.ts";
import type { Arm, Outcome, Settings, Trained } from "../adaptation/arms.ts";
import { pointOf } from "../adaptation/charts.ts";
import type { Cost } from "../adaptation/cost.ts";
import { aboveZero, armOf, bySeed, differences } from "../adaptation/measures.ts";
import { type Finding, halfInterval, markdownTable, mean, meanText } from "../findings.ts";
import { lineChart, scatterChart } from "../plot.ts";

export const kRanks = [1, 2, 4, 8, 16] as const;
const kMethods = ["lora", "dora"] as const;
type Method = (typeof kMethods)[number];
const kWords: Record<Method, string> = { lora: "LoRA", dora: "DoRA" };
const kFull = "full";
const nameOf = (method: Method, rank: number): string => `${kWords[method]} r ${rank}`;

/**
 * All linear layers, α = 2r, the same grid of rates for both. Full training is there for the correlation alone, at the rate
 * that lora_vs_full.ts finds best.
 */
export const kArms: readonly Arm[] = [
  { name: kFull, method: { method: "full" }, rates: [1e-3] },
  ...kRanks.flatMap((rank) =>
    kMethods.map((method) => ({
      name: nameOf(method, rank),
      method: { method, rank },
      rates: [1e-3, 3e-3, 1e-2],
    })),
  ),
];

/** About two thirds of the declarations. */
export const kSettings: Settings = {
  steps: 128,
  points: [32, 64, 96, 128],
  batchTokens: 1024,
  seeds: 3,
  schedule: "constant",
  weightDecay: 0,
  largestSpectrum: 0,
};

/** Bits a byte on the new domain at the end, by seed. */
const bits = (outcome: Outcome, method: Method, rank: number): number[] =>
  bySeed(armOf(outcome, nameOf(method, rank)), (point) => point.new.bitsPerByte);

/** For each seed the difference between its worst and its best rank. */
function spreads(outcome: Outcome, method: Method): number[] {
  const ranks = kRanks.map((rank) => bits(outcome, method, rank));
  return ranks[0]!.map((_, s) => {
    const ofSeed = ranks.map((values) => values[s]!);
    return Math.max(...ofSeed) - Math.min(...ofSeed);
  });
}

export const findings = (outcome: Outcome, costs: readonly Cost[]): Finding[] => [
  ...kRanks.map((rank) => rankFinding(outcome, rank)),
  halfRankFinding(outcome),
  flatness(outcome),
  ...driftFindings(outcome),
  costFinding(costs),
];

const kPaper: Partial<Record<number, string>> = {
  4: "LLaMA-7B, commonsense: LoRA 39.5, DoRA 61.9",
  8: "40.7, 78.0",
  16: "DoRA 77.5 (LoRA 74.7 at rank 32)",
};

function rankFinding(outcome: Outcome, rank: number): Finding {
  const [lora, dora] = [bits(outcome, "lora", rank), bits(outcome, "dora", rank)];
  return {
    claim: `rank ${rank}: DoRA is better than LoRA`,
    paper: kPaper[rank] ?? "(not in the paper)",
    ours: `LoRA ${meanText(lora)}, DoRA ${meanText(dora)} bits a byte (gain ${meanText(differences(lora, dora))})`,
    holds: aboveZero(differences(lora, dora)),
  };
}

/** DoRA with half of LoRA's rank, over all pairs of ranks, by seed. */
function halfRankFinding(outcome: Outcome): Finding {
  const gains = kRanks
    .slice(1)
    .map((rank, i) => differences(bits(outcome, "lora", rank), bits(outcome, "dora", kRanks[i]!)));
  const bySeed = gains[0]!.map((_, s) => mean(gains.map((of) => of[s]!)));
  return {
    claim: "DoRA with half of LoRA's rank is still better",
    paper: "LLaMA-7B: 77.5 at half the rank, LoRA 74.7",
    ours: `gain ${meanText(bySeed)} bits a byte, mean over ranks 1:2 to 8:16 (${gains.map((of) => mean(of).toFixed(3)).join(", ")})`,
    holds: aboveZero(bySeed),
  };
}

function flatness(outcome: Outcome): Finding {
  const [lora, dora] = [spreads(outcome, "lora"), spreads(outcome, "dora")];
  return {
    claim: "DoRA depends less on its rank: worst minus best of the ranks",
    paper: "ranks 4 to 32: LoRA from 39.5 to 74.7, DoRA from 61.9 to 78.4",
    ours: `LoRA ${meanText(lora)}, DoRA ${meanText(dora)} bits a byte (difference ${meanText(differences(lora, dora))})`,
    holds: aboveZero(differences(lora, dora)),
  };
}

/** Of each seed: over the arms' matrices of a kind and points. */
function correlations(arms: readonly Trained[], kind?: LayerKind): number[] {
  return arms[0]!.runs.map((_, s) => mean(arms.map(({ runs }) => driftCorrelation([runs[s]!], kind))));
}

/** Full training, LoRA and DoRA over all of its ranks. */
const groups = (outcome: Outcome): { name: string; paper: string; sign: 1 | -1; arms: Trained[] }[] => [
  { name: "full training", paper: "−0.62", sign: -1, arms: [armOf(outcome, kFull)] },
  {
    name: "LoRA",
    paper: "+0.83",
    sign: 1,
    arms: kRanks.map((rank) => armOf(outcome, nameOf("lora", rank))),
  },
  {
    name: "DoRA",
    paper: "−0.31",
    sign: -1,
    arms: kRanks.map((rank) => armOf(outcome, nameOf("dora", rank))),
  },
];

function driftFindings(outcome: Outcome): Finding[] {
  const sure = (values: readonly number[], sign: number): Finding["holds"] =>
    aboveZero(values.map((value) => sign * value));
  const kinds: (LayerKind | undefined)[] = ["attention", "experts"];
  const rows = groups(outcome).map(({ name, paper, sign, arms }): Finding => {
    const each = kinds.map((kind) => correlations(arms, kind));
    const signs = each.map((values) => sure(values, sign));
    return {
      claim: `${name}: ΔM and ΔD are ${sign < 0 ? "negatively" : "positively"} correlated, over matrices and points`,
      paper: `${paper} (query weights)`,
      ours: `attention ${meanText(each[0]!, 2)}, experts ${meanText(each[1]!, 2)}`,
      holds: signs[0]!,
    };
  });
  const [, lora, dora] = groups(outcome).map(({ arms }) => correlations(arms, "attention"));
  const lower = differences(lora!, dora!);
  rows.push({
    claim: "DoRA's correlation is below LoRA's (attention)",
    paper: "−0.31 below +0.83",
    ours: `by ${meanText(lower, 2)}`,
    holds: aboveZero(lower),
  });
  return rows;
}

function costFinding(costs: readonly Cost[]): Finding {
  const of = (method: Method, rank: number): Cost => costs.find(({ name }) => name === nameOf(method, rank))!;
  const ratios = kRanks.map(
    (rank) => of("dora", rank).microsecondsPerToken / of("lora", rank).microsecondsPerToken,
  );
  return {
    claim: "DoRA takes more time a token than LoRA",
    paper: "(others measured 1.7 to 2 ×, with the norm of the whole product)",
    ours: `× ${meanText(ratios, 2)} over the ranks (${ratios.map((x) => x.toFixed(2)).join(", ")}), steps in turn`,
    holds: mean(ratios) - halfInterval(ratios) > 1 ? "yes" : mean(ratios) > 1 ? "in part" : "no",
  };
}

/** Ranks side by side, as Markdown. */
export function ranksTable(outcome: Outcome): string {
  const { base } = outcome;
  const cell = (name: string, of: "new" | "old"): string =>
    meanText(bySeed(armOf(outcome, name), (point) => point[of].bitsPerByte));
  return markdownTable(
    [
      "bits a byte",
      "LoRA, new",
      "DoRA, new",
      "LoRA, old",
      "DoRA, old",
      "LoRA lr",
      "DoRA lr",
      "numbers that train",
    ],
    [
      [
        `base: new ${base.new.bitsPerByte.toFixed(3)}, old ${base.old.bitsPerByte.toFixed(3)}`,
        ...Array<string>(7).fill(""),
      ],
      [
        `full: new ${cell(kFull, "new")}, old ${cell(kFull, "old")}`,
        ...Array<string>(5).fill(""),
        `${armOf(outcome, kFull).lr}`,
        armOf(outcome, kFull).runs[0]!.parameters,
      ],
      ...kRanks.map((rank) => {
        const [lora, dora] = kMethods.map((method) => armOf(outcome, nameOf(method, rank)));
        return [
          `rank ${rank}`,
          cell(lora!.name, "new"),
          cell(dora!.name, "new"),
          cell(lora!.name, "old"),
          cell(dora!.name, "old"),
          lora!.lr,
          dora!.lr,
          `${lora!.runs[0]!.parameters} / ${dora!.runs[0]!.parameters}`,
        ];
      }),
    ],
  );
}

/** Bits a byte by rank. */
export const rankChart = (outcome: Outcome): string =>
  lineChart({
    title: "TypeScript's declarations by rank; mean and 95 % interval",
    xLabel: "binary logarithm of the rank",
    yLabel: "bits a byte on held-out text",
    series: kMethods.map((method) => ({
      name: kWords[method],
      points: kRanks.map((rank) => pointOf(Math.log2(rank), bits(outcome, method, rank))),
    })),
  });

/** ΔD against ΔM of attention's matrices, first seed. */
export const driftChart = (outcome: Outcome): string =>
  scatterChart({
    title: "How far attention's matrices moved, first seed, every point of training",
    xLabel: "ΔD: mean of 1 − cosine of a row and what it was",
    yLabel: "ΔM: mean change of a row's norm",
    series: groups(outcome).map(({ name, arms }) => ({
      name,
      points: arms.flatMap(({ runs }) => pairsOf(runs[0]!)),
    })),
  });

const pairsOf = ({ points }: StudyResult): { x: number; y: number }[] =>
  points.flatMap(({ drift }) =>
    drift
      .filter(({ kind }) => kind === "attention")
      .map(({ direction, magnitude }) => ({ x: direction, y: magnitude })),
  );
