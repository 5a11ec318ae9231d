// Xu et al. 2024, table 1: three actions, reference (½, ½, 0), one pair a1 ≻ a2. Every policy with π(a2) = 0 minimises the DPO
// loss, however much it gives to a3; PPO's optimum is (1, 0, 0). A softmax has no zero: the reference's third probability is
// 1e-9, and a policy's zero 1e-30. Three ways to see it: the loss at both policies; descent from (0.1, 0, 0.9), each action with
// a logit of its own; descent from the reference where actions share features (logits are a line in two random features of
// each), so that what raises a1 may raise a3 more.
import { type Device, scope, sgd } from "../../../lib/index.ts";
import { type Finding, mean, meanText } from "../findings.ts";
import { barChart } from "../plot.ts";
import {
  adamOf,
  allLogProbs,
  disposeTable,
  dpoLoss,
  fitReward,
  freeTable,
  sharedFeatures,
  type Table,
  trainDpo,
  trainPpo,
} from "./bandit.ts";

/** The reference's probability of a3, and a policy's of what it never does. */
const kRare = 1e-9;
const kNever = 1e-30;
const kBeta = 0.1;
const kPairs = [{ prompt: 0, chosen: 0, rejected: 1 }];
const logs = (probabilities: readonly number[], zero: number): number[] =>
  probabilities.map((p) => Math.log(Math.max(p, zero)));
const kReference = logs([0.5, 0.5, 0], kRare);
/** More than this of the third action counts as moved there. */
const kMoved = 0.05;

export interface CounterExampleOptions {
  /** Draws of features. */
  seeds: number;
  dpoSteps: number;
  ppoSteps: number;
}

export const kCounterExample: CounterExampleOptions = { seeds: 60, dpoSteps: 1500, ppoSteps: 150 };

export interface CounterExample {
  /** DPO loss with β = 1 of (1, 0, 0), (0.1, 0, 0.9) and (½, ½, 0). */
  losses: { best: number; other: number; reference: number };
  /** Where descent from (0.1, 0, 0.9) ends. */
  fromOther: { dpo: number[]; ppo: number[] };
  /** Where descent from the reference ends with a logit of its own for each action. */
  free: { dpo: number[]; ppo: number[] };
  /** For each draw of features: where it ends; ppoShared: the reward is a line in the same features, not a number each. */
  shared: { dpo: number[]; ppo: number[]; ppoShared: number[] }[];
}

async function ending(policy: Table, train: (policy: Table) => Promise<void>): Promise<number[]> {
  await train(policy);
  const logProbs = await allLogProbs(policy);
  disposeTable(policy);
  return logProbs.map(Math.exp);
}

export async function counterExample(
  device: Device,
  options: CounterExampleOptions,
  progress: (line: string) => void = () => undefined,
): Promise<CounterExample> {
  const { seeds, dpoSteps, ppoSteps } = options;
  const lossAt = async (probabilities: readonly number[]): Promise<number> => {
    const policy = freeTable(device, [logs(probabilities, kNever)]);
    using loss = scope(() => dpoLoss(policy, kPairs, kReference, 1));
    const value = await loss.item();
    disposeTable(policy);
    return value;
  };
  const losses = {
    best: await lossAt([1, 0, 0]),
    other: await lossAt([0.1, 0, 0.9]),
    reference: await lossAt([0.5, 0.5, 0]),
  };

  const rewardOf = async (table: Table): Promise<number[]> => {
    const rewards = await fitReward(table, kPairs, { steps: 200, optimizer: adamOf(1e-2), centering: 0.1 });
    disposeTable(table);
    return rewards;
  };
  const dpo = (policy: Table): Promise<void> =>
    trainDpo(policy, kPairs, kReference, kBeta, { steps: dpoSteps, optimizer: adamOf(5e-2) });
  const descent = (policy: Table): Promise<void> =>
    trainDpo(policy, kPairs, kReference, kBeta, { steps: dpoSteps, optimizer: sgd({ lr: 1 }) });
  const ppoOn =
    (rewards: readonly number[], seed: number) =>
    (policy: Table): Promise<void> =>
      trainPpo(policy, rewards, kReference, {
        steps: ppoSteps,
        optimizer: adamOf(5e-2),
        beta: kBeta,
        draws: 64,
        epochs: 2,
        seed,
      });

  const rewards = await rewardOf(freeTable(device, [[0, 0, 0]]));
  const both = async (start: readonly number[]) => ({
    dpo: await ending(freeTable(device, [start]), descent),
    ppo: await ending(freeTable(device, [start]), ppoOn(rewards, 0)),
  });
  const fromOther = await both(logs([0.1, 0, 0.9], kNever));
  const free = await both(kReference);

  const shared: CounterExample["shared"] = [];
  for (let seed = 0; seed < seeds; seed++) {
    const policy = (): Table => sharedFeatures(device, kReference, 2, seed);
    const sharedRewards = await rewardOf(sharedFeatures(device, [0, 0, 0], 2, seed));
    shared.push({
      dpo: await ending(policy(), dpo),
      ppo: await ending(policy(), ppoOn(rewards, seed)),
      ppoShared: await ending(policy(), ppoOn(sharedRewards, seed)),
    });
    if (shared.length % 10 === 0) progress(`counter-example: features ${shared.length} of ${seeds}`);
  }
  return { losses, fromOther, free, shared };
}

const triple = (p: readonly number[]): string => `(${p.map((x) => x.toFixed(2)).join(", ")})`;

export function counterExampleFindings(result: CounterExample): Finding[] {
  const { losses, fromOther, free, shared } = result;
  const third = (of: "dpo" | "ppo" | "ppoShared"): number[] => shared.map((run) => run[of][2]!);
  const moved = (values: readonly number[]): number => values.filter((p) => p > kMoved).length;
  const n = shared.length;
  const most = shared.reduce((a, b) => (b.dpo[2]! * b.dpo[0]! > a.dpo[2]! * a.dpo[0]! ? b : a));
  const dpoMoved = moved(third("dpo"));
  const ppoMoved = moved(third("ppo"));
  const ppoSharedMoved = moved(third("ppoShared"));
  const solved = fromOther.ppo[0]! > 0.98 && mean(shared.map(({ ppo }) => ppo[0]!)) > 0.98;
  return [
    {
      claim: "three actions: (0.1, 0, 0.9) minimises the DPO loss as (1, 0, 0) does",
      paper: "both minimal",
      ours: `loss ${losses.other.toExponential(1)} and ${losses.best.toExponential(1)}; ${losses.reference.toFixed(3)} at the reference`,
      holds: losses.other < 1e-6 && losses.best < 1e-6 ? "yes" : "no",
    },
    {
      claim: "three actions: DPO may end with mass on a3",
      paper: "(0.1, 0, 0.9) possible",
      ours:
        `from (0.1, 0, 0.9): stays at ${triple(fromOther.dpo)}; from the reference, shared features: π(a3) > ${kMoved} in ${dpoMoved} of ${n} draws` +
        ` (mean ${meanText(third("dpo"), 2)}; e.g. ${triple(most.dpo)}); a logit for each action: ${triple(free.dpo)}`,
      holds: fromOther.dpo[2]! > 0.5 && dpoMoved > 0 ? "yes" : "no",
    },
    {
      claim: "three actions: PPO on the fitted reward ends at (1, 0, 0)",
      paper: "(1, 0, 0)",
      ours:
        `from (0.1, 0, 0.9): ${triple(fromOther.ppo)}; shared features: π(a1) ${meanText(
          shared.map(({ ppo }) => ppo[0]!),
        )}, a3 in ${ppoMoved} of ${n}` +
        `; reward a line in the same features too: a3 in ${ppoSharedMoved} of ${n}`,
      holds: !solved || ppoMoved > 0 ? "no" : ppoSharedMoved > 0 ? "in part" : "yes",
    },
  ];
}

export function counterExamplePlot({ shared }: CounterExample): string {
  const of = (name: "dpo" | "ppo" | "ppoShared"): number[][] =>
    [0, 1, 2].map((action) => shared.map((run) => run[name][action]!));
  return barChart({
    title: `Three actions, reference (½, ½, 0), a1 ≻ a2: where ${shared.length} descents from the reference end`,
    yLabel: "probability, mean and 95 % interval",
    groups: ["a1", "a2", "a3 (never seen)"],
    series: [
      { name: "DPO", values: of("dpo") },
      { name: "PPO, reward a number each", values: of("ppo") },
      { name: "PPO, reward on shared features", values: of("ppoShared") },
    ],
  });
}
