// Xu et al. 2024, §4 (figure 2), small: 8 prompts × 8 responses. Policies and reward models are networks with one hidden
// gated layer (linear, swiglu, linear) from a one-hot prompt to 8 numbers. The right response of prompt i is i, worth 1; others
// are worth less than 0.8. 16 of the 224 possible pairs are known: most responses are in none of their prompt's. DPO and PPO
// start from a reference that gives responses at random, with the same β, and learn from the same pairs. PPO's reward model
// starts at 0 everywhere, as DPO's implicit reward does; it is a network, or a number for each prompt and response, which says
// nothing of responses that no pair has.
import { permutation } from "../../../lib/core/random.ts";
import type { Device } from "../../../lib/index.ts";
import { deviation, type Finding, halfInterval, mean, meanText } from "../findings.ts";
import { lineChart } from "../plot.ts";
import {
  adamOf,
  allLogProbs,
  type Descent,
  disposeTable,
  fitReward,
  freeTable,
  imitate,
  type Preference,
  promptNetwork,
  stream,
  type Table,
  trainDpo,
  trainPpo,
} from "./bandit.ts";

const kS = 8;
const kA = 8;
const kHidden = 32;
/** An unseen response with less than this under the reference is one that should stay rare. */
const kLow = 1 / kA;

export interface SyntheticOptions {
  seeds: number;
  /** Of the 224 there are. */
  pairs: number;
  beta: number;
  dpoSteps: number;
  ppoSteps: number;
  lr: number;
  rewardSteps: number;
  draws: number;
}

export const kSynthetic: SyntheticOptions = {
  seeds: 20,
  pairs: 16,
  beta: 0.1,
  dpoSteps: 400,
  ppoSteps: 200,
  lr: 3e-3,
  rewardSteps: 200,
  draws: 32,
};

type Arm = "dpo" | "ppo" | "ppoTable";

/** One seed. Probabilities [S·A] before and after; mass of unseen responses a prompt, by share of the training done. */
interface Run {
  seen: boolean[];
  reference: number[];
  dpo: number[];
  ppo: number[];
  ppoTable: number[];
  mass: Record<Arm, number[]>;
}

export interface Synthetic {
  options: SyntheticOptions;
  runs: Run[];
}

const kPoints = 20;

/** Which responses pairs compare, [S·A], the pairs, and what the reference learns from: anything, seen or not. */
function problem(count: number, seed: number) {
  const random = stream(seed, 3);
  const worth = Array.from({ length: kS * kA }, (_, i) => (i % (kA + 1) === 0 ? 1 : 0.8 * random.uniform()));
  const weight = worth.map(() => 0.2 + random.uniform());
  const shares = weight.map((w, i) => {
    const first = i - (i % kA);
    return w / weight.slice(first, first + kA).reduce((a, b) => a + b);
  });
  const every = Array.from({ length: kS * kA * kA }, (_, i) => ({
    prompt: Math.floor(i / (kA * kA)),
    chosen: Math.floor(i / kA) % kA,
    rejected: i % kA,
  }));
  const right = every.filter(
    ({ prompt, chosen, rejected }) => worth[prompt * kA + chosen]! > worth[prompt * kA + rejected]!,
  );
  const pairs: Preference[] = [...permutation(right.length, (seed + 1) * 2 ** 20)]
    .slice(0, count)
    .map((i) => right[i]!);
  const seen = worth.map(() => false);
  for (const { prompt, chosen, rejected } of pairs) {
    seen[prompt * kA + chosen] = true;
    seen[prompt * kA + rejected] = true;
  }
  return { seen, shares, pairs };
}

/** With mean 0 and deviation 1, as pipelines of PPO do. */
const standard = (rewards: readonly number[]): number[] =>
  rewards.map((reward) => (reward - mean(rewards)) / deviation(rewards));

const unseenMass = (probabilities: readonly number[], seen: readonly boolean[]): number =>
  probabilities.reduce((sum, p, i) => sum + (seen[i] ? 0 : p), 0) / kS;

async function runOf(device: Device, options: SyntheticOptions, seed: number): Promise<Run> {
  const { beta, lr, dpoSteps, ppoSteps, rewardSteps, draws } = options;
  const { seen, shares, pairs } = problem(options.pairs, seed);
  const reference = async (): Promise<Table> => {
    const policy = promptNetwork(device, { S: kS, A: kA, F: kHidden }, seed);
    await imitate(policy, shares, { steps: 300, optimizer: adamOf(1e-2) });
    return policy;
  };
  const probabilities = async (policy: Table): Promise<number[]> => (await allLogProbs(policy)).map(Math.exp);
  const start = await reference();
  const before = await allLogProbs(start);
  disposeTable(start);
  const mass: Run["mass"] = { dpo: [], ppo: [], ppoTable: [] };
  const train = async (arm: Arm, steps: number, how: (policy: Table, descent: Descent) => Promise<void>) => {
    const policy = await reference();
    const see = async () => void mass[arm].push(unseenMass(await probabilities(policy), seen));
    const watch = { every: Math.max(1, Math.floor(steps / kPoints)), see };
    await how(policy, { steps, optimizer: adamOf(lr), watch });
    const after = await probabilities(policy);
    disposeTable(policy);
    return after;
  };
  const ppoOn = async (arm: Arm, model: Table): Promise<number[]> => {
    const fit = { steps: rewardSteps, optimizer: adamOf(1e-2), centering: 0.01 };
    const rewards = standard(await fitReward(model, pairs, fit));
    disposeTable(model);
    return train(arm, ppoSteps, (policy, descent) =>
      trainPpo(policy, rewards, before, { ...descent, beta, draws, epochs: 2, seed }),
    );
  };
  const zeros = Array.from({ length: kS }, () => Array.from({ length: kA }, () => 0));
  return {
    seen,
    reference: before.map(Math.exp),
    dpo: await train("dpo", dpoSteps, (policy, descent) => trainDpo(policy, pairs, before, beta, descent)),
    ppo: await ppoOn("ppo", promptNetwork(device, { S: kS, A: kA, F: kHidden, zero: true }, seed + 1000)),
    ppoTable: await ppoOn("ppoTable", freeTable(device, zeros)),
    mass,
  };
}

export async function synthetic(
  device: Device,
  options: SyntheticOptions,
  progress: (line: string) => void = () => undefined,
): Promise<Synthetic> {
  const runs: Run[] = [];
  for (let seed = 0; seed < options.seeds; seed++) {
    runs.push(await runOf(device, options, seed));
    if (runs.length % 5 === 0) progress(`8 × 8: seed ${seed + 1} of ${options.seeds}`);
  }
  return { options, runs };
}

/** Of each run: the unseen response, rare under the reference, that gained most: from where to where. */
function largestRise(run: Run, of: Arm): { from: number; to: number } {
  const rare = run.reference.flatMap((p, i) => (!run.seen[i] && p < kLow ? [i] : []));
  const best = rare.reduce((a, b) =>
    run[of][b]! - run.reference[b]! > run[of][a]! - run.reference[a]! ? b : a,
  );
  return { from: run.reference[best]!, to: run[of][best]! };
}

/** What `of` made of unseen, rare responses: means over runs. */
export function syntheticMeasures({ runs }: Synthetic, of: Arm) {
  const rises = runs.map((run) => largestRise(run, of));
  const diagonal = Array.from({ length: kS }, (_, s) => s * (kA + 1));
  return {
    from: rises.map(({ from }) => from),
    to: rises.map(({ to }) => to),
    rise: rises.map(({ from, to }) => to - from),
    before: runs.map((run) => unseenMass(run.reference, run.seen)),
    mass: runs.map((run) => unseenMass(run[of], run.seen)),
    best: runs.map((run) => mean(diagonal.map((i) => run[of][i]!))),
  };
}

export function syntheticFindings(result: Synthetic): Finding[] {
  const dpo = syntheticMeasures(result, "dpo");
  const ppo = syntheticMeasures(result, "ppo");
  const risen = (rises: readonly number[]): number => rises.filter((rise) => rise > 0.05).length;
  const n = result.runs.length;
  const text = ({ from, to, rise, before, mass }: typeof dpo): string =>
    `largest rise of one: ${meanText(from, 2)} → ${meanText(to, 2)} (above 0.05 in ${risen(rise)} of ${n} seeds);` +
    ` all unseen together: ${meanText(before, 2)} → ${meanText(mass, 2)}`;
  const table = syntheticMeasures(result, "ppoTable");
  const lessThanDpo = (mass: readonly number[]): string =>
    `less unseen mass than DPO by ${meanText(
      dpo.mass.map((of, i) => of - mass[i]!),
      2,
    )}`;
  const verdict = ({ rise }: typeof dpo): Finding["holds"] => {
    const spared = dpo.rise.map((of, i) => of - rise[i]!);
    if (risen(rise) <= n / 10) return "yes";
    return mean(spared) - halfInterval(spared) > 0 ? "in part" : "no";
  };
  return [
    {
      claim: "8 × 8: DPO raises responses that no pair has and the reference seldom gives",
      paper: "0.11 → 0.23 (one response)",
      ours: text(dpo),
      holds: risen(dpo.rise) > n / 2 ? "yes" : risen(dpo.rise) > 0 ? "in part" : "no",
    },
    {
      claim: "8 × 8: PPO doesn't, its reward a network fitted to the same pairs",
      paper: "no rise",
      ours: `${text(ppo)}; ${lessThanDpo(ppo.mass)}`,
      holds: verdict(ppo),
    },
    {
      claim: "8 × 8: PPO doesn't, its reward a number for each prompt and response",
      paper: "(not in the paper)",
      ours: `${text(table)}; ${lessThanDpo(table.mass)}`,
      holds: verdict(table),
    },
  ];
}

export function syntheticPlot({ runs }: Synthetic): string {
  const points = (of: Arm) =>
    runs[0]!.mass[of].map((_, i, all) => {
      const values = runs.map((run) => run.mass[of][i]!);
      const spread = deviation(values);
      return {
        x: i / (all.length - 1),
        y: mean(values),
        low: mean(values) - spread,
        high: mean(values) + spread,
      };
    });
  return lineChart({
    title: `8 prompts × 8 responses: probability of responses that no pair has, ${runs.length} seeds`,
    xLabel: "share of the updates done",
    yLabel: "their mass at a prompt, mean ± standard deviation",
    series: [
      { name: "DPO", points: points("dpo") },
      { name: "PPO, reward a network", points: points("ppo") },
      { name: "PPO, reward a number each", points: points("ppoTable") },
    ],
  });
}
