import type { StepMetrics } from "../train/metrics.ts";
import { type Chart, chartOf, pointsOf, validationsOf } from "./metric_curves.ts";
import type { Section } from "./sections.ts";
import { isOfSource } from "./source_report.ts";

/** Charts of trainers on preferences: DPO and its kin, KTO, reward models. */
const kPreferences: readonly Chart[] = [
  {
    title: "Accuracy",
    note: "Share of pairs whose chosen completion has the higher reward; 0.5 is chance.",
    yLabel: "share of pairs",
    metrics: { "rewards/accuracies": "training" },
  },
  {
    title: "Reward margin",
    note: "By how much the rewards of chosen completions are above those of rejected ones.",
    yLabel: "margin",
    metrics: { "rewards/margins": "training" },
  },
  {
    title: "Rewards",
    note: "Means. Of a reward model its numbers, else β times the log-ratio to the reference. Both may sink while the margin grows.",
    yLabel: "reward",
    metrics: { "rewards/chosen": "chosen", "rewards/rejected": "rejected" },
  },
  {
    title: "Log-probabilities",
    note: "Of whole completions, in nats. Where the chosen ones sink far too, the model unlearns what it was shown.",
    yLabel: "nats",
    metrics: { "logps/chosen": "chosen", "logps/rejected": "rejected" },
  },
  {
    title: "KL estimate",
    note: "KTO's z: how far the model has moved from the reference, from mismatched pairs; never below 0.",
    yLabel: "nats",
    metrics: { "kl/z": "z" },
  },
];

/** Charts of trainers whose policy writes: PPO, GRPO, RLOO. */
const kPolicies: readonly Chart[] = [
  {
    title: "Score",
    note: "Mean over the completions of a step; the reward is what is left of it after the KL's share.",
    yLabel: "score",
    metrics: { "rollout/score": "score", "objective/reward": "reward" },
  },
  {
    title: "KL to the reference",
    note: "Of a completion, in nats, estimated from its tokens; single steps may be below 0.",
    yLabel: "nats",
    metrics: { "objective/kl": "each step" },
  },
  {
    title: "Spread of scores",
    note: "Standard deviation over a step's completions. Without spread there is nothing to learn.",
    yLabel: "score",
    metrics: { "rollout/scoreDeviation": "each step" },
  },
  {
    title: "Groups of equal scores",
    note: "Share of prompts whose completions all scored the same: nothing is learned from them.",
    yLabel: "share of groups",
    metrics: { "rollout/sameScores": "each step" },
  },
  {
    title: "Length",
    note: "Mean tokens of a completion.",
    yLabel: "tokens",
    metrics: { "rollout/length": "each step" },
  },
  {
    title: "Stopped",
    note: "Share of completions that came to an end by themselves; the others were cut off.",
    yLabel: "share",
    metrics: { "rollout/stopped": "each step" },
  },
  {
    title: "Entropy",
    note: "Of the policy's choice of a token, in nats. Where it falls to 0, the policy has stopped trying.",
    yLabel: "nats",
    metrics: { "policy/entropy": "each step" },
  },
  {
    title: "Clipped tokens",
    note: "Share of tokens whose probability moved beyond the clip range within a step.",
    yLabel: "share of tokens",
    metrics: { "policy/clipFraction": "each step" },
  },
  {
    title: "Movement within a step",
    note: "Half the mean squared log-ratio to the policy that wrote: about the KL.",
    yLabel: "nats",
    metrics: { "policy/approxKl": "each step" },
  },
  {
    title: "Probability ratio",
    note: "Mean over tokens, to the policy that wrote; far from 1, steps are too large.",
    yLabel: "ratio",
    metrics: { "policy/ratio": "each step" },
  },
  {
    title: "Policy loss",
    note: "Its clipped part alone.",
    yLabel: "loss",
    metrics: { "policy/loss": "each step" },
  },
  {
    title: "Value loss",
    note: "Half the squared distance of values to returns.",
    yLabel: "loss",
    metrics: { "value/loss": "each step" },
  },
  {
    title: "Explained variance",
    note: "Share of the returns' variance that the value function foresees: 1 is perfect, below 0 worse than a constant.",
    yLabel: "share",
    metrics: { "value/explainedVariance": "each step" },
  },
  {
    title: "KL coefficient",
    note: "Weight of the KL against the score.",
    yLabel: "weight",
    metrics: { "objective/klCoef": "weight" },
  },
  {
    title: "Time of a step",
    note: "Seconds in which the policy wrote, its completions were scored, and it learned.",
    yLabel: "seconds",
    metrics: { "seconds/rollout": "rollout", "seconds/score": "score", "seconds/learn": "learn" },
  },
  {
    title: "Tokens written per second",
    note: "Of the rollouts' time alone.",
    yLabel: "tokens per second",
    metrics: { "rollout/tokensPerSecond": "each step" },
  },
];

const kCharts = [...kPreferences, ...kPolicies];
const kKnown = new Set(kCharts.flatMap(({ metrics }) => Object.keys(metrics)));

/** What has a chart beside the loss. */
const kElsewhere = ["auxLoss", "zLoss"];

/** Charts of all metrics "group/name": the known ones explained, others under their names. */
export function alignmentSections(steps: readonly StepMetrics[]): Section[] {
  const own = steps.flatMap((m) => Object.keys(m).filter((key) => key.includes("/")));
  const validated = validationsOf(steps).flatMap(({ key }) => key ?? []);
  const others = [...new Set([...own, ...validated])].filter(
    (key) => !kKnown.has(key) && !kElsewhere.includes(key) && !isOfSource(key),
  );
  const plain = others.map(
    (key): Chart => ({ title: key, note: "Of each step.", yLabel: key, metrics: { [key]: "each step" } }),
  );
  return [...kCharts, ...plain].flatMap((chart) => chartOf(steps, chart));
}

/** What the loss of a run is, by what it measured; `signed`: a number around 0. */
export function lossMeaning(steps: readonly StepMetrics[]): { note: string; signed: boolean } {
  const has = (group: string): boolean =>
    steps.some((m) => Object.keys(m).some((key) => key.startsWith(`${group}/`)));
  if (has("rollout"))
    return { note: "Mean over the step's updates. The score tells success, not the loss.", signed: true };
  const over = has("rewards") ? "pairs or rows of a step" : "targets, in nats per token";
  return { note: `Mean over the ${over}; training counts the router losses in.`, signed: false };
}

/** The facts that runs are judged by: ends of curves, as means over the last fiftieth of the steps. */
export function alignmentFacts(steps: readonly StepMetrics[]): Record<string, number> {
  const facts: Record<string, number> = {};
  for (const [key, name] of [
    ["rollout/score", "Score"],
    ["objective/kl", "KL to the reference"],
    ["rewards/accuracies", "Training accuracy"],
    ["rewards/margins", "Reward margin"],
  ] as const) {
    const last = pointsOf(steps, key).slice(-Math.ceil(steps.length / 50));
    if (last.length > 0) facts[name] = last.reduce((sum, [, y]) => sum + y, 0) / last.length;
  }
  for (const { set, key, points } of validationsOf(steps)) {
    if (key === "rewards/accuracies") facts[`Accuracy on ${set}`] = points.at(-1)![1];
  }
  return facts;
}
