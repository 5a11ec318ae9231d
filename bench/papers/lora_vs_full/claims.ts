// Biderman et al. 2405.09673: its claims beside what came out.
import type { Arm, Outcome, Settings, Trained } from "../adaptation/arms.ts";
import type { Cost } from "../adaptation/cost.ts";
import {
  aboveZero,
  againstText,
  armOf,
  bySeed,
  changeOf,
  differences,
  forgotten,
  forgottenAlike,
  learned,
  rankOf,
} from "../adaptation/measures.ts";
import { type Finding, markdownTable, mean, meanText } from "../findings.ts";

export const kRanks = [1, 4, 16] as const;
export const kFull = "full";
export const loraOf = (rank: number): string => `LoRA r ${rank}`;
const kDecay = 1;
const kDecayed = `full, weight decay ${kDecay}`;
const [kLow, , kHigh] = kRanks.map(loraOf) as [string, string, string];
const kEmbedded = `${kHigh}, embedding and head`;

/**
 * LoRA on all linear layers, α = 2r, as in the paper, and once with the embedding and the head, which full training moves
 * and LoRA doesn't. No weight decay but in the arm that is about it.
 */
export const kArms: readonly Arm[] = [
  { name: kFull, method: { method: "full" }, rates: [3e-4, 1e-3, 3e-3] },
  ...kRanks.map((rank) => ({
    name: loraOf(rank),
    method: { method: "lora" as const, rank },
    rates: [1e-3, 3e-3, 1e-2],
  })),
  {
    name: kEmbedded,
    method: { method: "lora", rank: kRanks.at(-1)!, modulesToSave: ["embed_tokens", "lm_head"] },
    rates: [1e-3, 3e-3, 1e-2],
  },
  { name: kDecayed, method: { method: "full", weightDecay: kDecay }, rates: kFull },
];

/** A constant rate: so a point inside of a run is what a shorter run would have ended with. */
export const kSettings: Settings = {
  steps: 256,
  points: [8, 16, 32, 64, 128, 256],
  batchTokens: 1024,
  seeds: 3,
  schedule: "constant",
  weightDecay: 0,
};

export function findings(outcome: Outcome, costs: readonly Cost[]): Finding[] {
  return [
    ...orderings(outcome),
    gapFinding(outcome),
    ...alikeFindings(outcome),
    rateFinding(outcome),
    ...rankFindings(outcome),
    ...costFindings(costs),
  ];
}

/** a above b, seed by seed. */
const above = (
  claim: string,
  paper: string,
  a: readonly number[],
  b: readonly number[],
  unit = "",
): Finding => ({
  claim,
  paper,
  ours: `${againstText(a, b)}${unit}`,
  holds: aboveZero(differences(a, b)),
});

/** Learning falls and retention rises from full training to the lowest rank. */
function orderings(outcome: Outcome): Finding[] {
  const order = [kFull, ...[...kRanks].reverse().map(loraOf)];
  const steps = order.slice(1).map((lower, i) => [order[i]!, lower] as const);
  const unit = " bits a byte";
  return [
    ...steps.map(([more, less]) =>
      above(
        `${more} learns more than ${less}`,
        "code, 20B tokens, HumanEval: full .263, r 256 .224, r 64 .196, r 16 .162",
        learned(outcome, more),
        learned(outcome, less),
        unit,
      ),
    ),
    ...steps.map(([more, less]) =>
      above(
        `${more} forgets more than ${less}`,
        "its three old tasks: full .545, r 256 .617, r 64 .626, r 16 .635",
        forgotten(outcome, more),
        forgotten(outcome, less),
        unit,
      ),
    ),
  ];
}

function gapFinding(outcome: Outcome): Finding {
  const gap = (at: number): number[] => differences(learned(outcome, kFull, at), learned(outcome, kHigh, at));
  const tokens = (at: number): string =>
    `${(armOf(outcome, kFull).runs[0]!.points.at(at)!.tokens / 1000).toFixed(0)}k`;
  const points = armOf(outcome, kFull).runs[0]!.points.map((_, at) => at);
  const widest = points.reduce((a, b) => (mean(gap(b)) > mean(gap(a)) ? b : a));
  return {
    claim: `the gap in learning between full and ${kHigh} grows with tokens`,
    paper: "HumanEval .008 at 0.25B tokens, .039 at 20B",
    ours:
      `${meanText(gap(0))} bits a byte at ${tokens(0)} tokens, ${meanText(gap(-1))} at ${tokens(-1)}` +
      ` (difference ${meanText(differences(gap(-1), gap(0)))}; widest at ${tokens(widest)}: ${mean(gap(widest)).toFixed(3)})`,
    holds: aboveZero(differences(gap(-1), gap(0))),
  };
}

/** At the same learning. */
function alikeFindings(outcome: Outcome): Finding[] {
  const row = (other: string, lora: string, paper: string): Finding => {
    const { level, a, b } = forgottenAlike(outcome, other, lora);
    return above(
      `at the same learning ${other} forgets more than ${lora}`,
      paper,
      a,
      b,
      ` bits a byte, where both had learned ${mean(level).toFixed(2)}`,
    );
  };
  return [
    row(kFull, kHigh, "LoRA's front is at or above full training's, more so on code"),
    row(kFull, kLow, "the same"),
    row(kFull, kEmbedded, "(the paper's LoRA leaves both as they are)"),
    row(kDecayed, kHigh, "LoRA forgets less than weight decay or attention dropout"),
  ];
}

function rateFinding(outcome: Outcome): Finding {
  const ratios = kRanks.map((rank) => armOf(outcome, loraOf(rank)).lr / armOf(outcome, kFull).lr);
  const typical = Math.exp(mean(ratios.map(Math.log)));
  const rates = kRanks.map(
    (rank, i) => `r ${rank} ${armOf(outcome, loraOf(rank)).lr} (× ${ratios[i]!.toPrecision(2)})`,
  );
  return {
    claim: "LoRA's best learning rate is about ten times that of full training",
    paper: "5e-4 against 5e-5 (code), 2e-4 against 1e-5 (math)",
    ours: `full ${armOf(outcome, kFull).lr}, ${rates.join(", ")}; rates tried are a factor of 3 apart`,
    holds: typical >= 5 && typical <= 20 ? "yes" : typical > 1.5 ? "in part" : "no",
  };
}

function rankFindings(outcome: Outcome): Finding[] {
  const full = armOf(outcome, kFull);
  const shares = (kind?: "attention" | "experts", at = -1): number[] =>
    bySeed(full, (point) => rankOf(point, kind).share, at);
  const ranks = bySeed(full, (point) => rankOf(point).rank);
  const times = kRanks.map((rank) => mean(ranks) / rank);
  const own = kRanks.map((rank) => mean(bySeed(armOf(outcome, loraOf(rank)), (point) => rankOf(point).rank)));
  return [
    {
      claim: "full training's ΔW needs 10 to 100 times LoRA's rank for 90 % of its variance",
      paper: "10–100 ×, of 4096",
      ours:
        `${meanText(ranks, 1)} directions, ${meanText(
          shares().map((x) => 100 * x),
          1,
        )} % of the most there could be; ` +
        `× ${times.map((x, i) => `${x.toPrecision(2)} of r ${kRanks[i]}`).join(", ")}` +
        ` (LoRA's ΔW: ${own.map((rank) => rank.toFixed(1)).join(", ")})`,
      holds: times[1]! >= 10 ? "yes" : times.at(-1)! > 1 ? "in part" : "no",
    },
    above(
      "its rank is higher in MLPs (experts here) than in attention, as shares of full rank",
      "MLP > attention",
      shares("experts"),
      shares("attention"),
    ),
    above(
      "its rank grows with tokens, as a share of full rank: last point against first",
      "grows from 0.25B to 20B",
      shares(undefined, -1),
      shares(undefined, 0),
    ),
  ];
}

function costFindings(costs: readonly Cost[]): Finding[] {
  const of = (name: string): Cost => costs.find((one) => one.name === name)!;
  const all = ({ modelBytes, adapterBytes, optimizerBytes, gradientBytes }: Cost): number =>
    modelBytes + adapterBytes + optimizerBytes + gradientBytes;
  const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;
  const [full, low, high] = [of(kFull), of(kLow), of(kHigh)];
  return [
    {
      claim: "LoRA needs less memory: weights, gradients, optimizer",
      paper: "7B, Adam: 112 GB full, 15.12 GB at 1 % trained",
      ours:
        `full ${mb(all(full))}, ${kLow} ${mb(all(low))}, ${kHigh} ${mb(all(high))};` +
        ` optimizer alone ${mb(full.optimizerBytes)}, ${mb(low.optimizerBytes)}, ${mb(high.optimizerBytes)}`,
      holds: all(low) < all(full) && all(high) < all(full) ? "yes" : all(low) < all(full) ? "in part" : "no",
    },
    {
      claim: "LoRA is slower a token",
      paper: "about 15 %",
      ours: [low, high]
        .map((one) => `${one.name} × ${(one.microsecondsPerToken / full.microsecondsPerToken).toFixed(2)}`)
        .join(", "),
      holds: [low, high].every((one) => one.microsecondsPerToken > full.microsecondsPerToken)
        ? "yes"
        : high.microsecondsPerToken > full.microsecondsPerToken
          ? "in part"
          : "no",
    },
  ];
}

/** Arms at their ends, as Markdown. */
export function armsTable({ base, arms }: Outcome): string {
  const bits = (arm: Trained, of: "new" | "old"): string =>
    meanText(bySeed(arm, (point) => point[of].bitsPerByte));
  const change = (arm: Trained, of: "learned" | "forgotten"): string =>
    meanText(bySeed(arm, (point) => changeOf(point, base)[of]));
  return markdownTable(
    [
      "arm",
      "numbers that train",
      "learning rate",
      "new, bits a byte",
      "old, bits a byte",
      "learned",
      "forgotten",
    ],
    [
      ["base model", "", "", base.new.bitsPerByte.toFixed(3), base.old.bitsPerByte.toFixed(3), "0", "0"],
      ...arms.map((arm) => [
        arm.name,
        arm.runs[0]!.parameters,
        arm.lr,
        bits(arm, "new"),
        bits(arm, "old"),
        change(arm, "learned"),
        change(arm, "forgotten"),
      ]),
    ],
  );
}
