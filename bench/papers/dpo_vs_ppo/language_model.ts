// Xu et al. 2024, §5 and §6, small: the model that ships (0.8 million parameters, the SFT model here) defines words, and a
// definition is worth a number that is computed (vowel_task.ts). SFT against DPO, iterative DPO, and PPO with the paper's three
// ingredients one at a time; pairs drawn from the SFT model itself, or written by people in another style. PPO earns the true
// reward, as on the paper's code tasks; where it has pairs alone, a reward model fitted to them, as on HH-RLHF.
import type { Device, Model, Pairs } from "../../../lib/index.ts";
import { type Finding, halfInterval, markdownTable, mean, meanText } from "../findings.ts";
import { barChart, scatterChart } from "../plot.ts";
import {
  disposeRewardModel,
  dpo,
  type Ingredients,
  iterativeDpo,
  ppo,
  rewardModel,
  type Settings,
  type Size,
  sftOnChosen,
} from "./arms.ts";
import { type Evaluation, VowelTask } from "./vowel_task.ts";

export interface LanguageModelOptions extends Settings, Size {
  seeds: number;
}

/**
 * Chosen on other words and other seeds: the highest reward among those whose KL stays below 20 nats a definition. Tried: DPO,
 * 15 of lr 3e-4, 6e-4, 1e-3, 3e-3 × β 0.01, 0.03, 0.1, 0.3 × 2 and 4 epochs; iterative DPO, 5 of lr 3e-4, 6e-4, 1e-3 × β 0.03,
 * 0.1, 0.3; PPO with normalised advantages, lr 3e-4, 1e-3, 3e-3 × klCoef 0.003, 0.01, 0.03 (40 steps), then 3 of them with each
 * set of ingredients (24 steps), which share one setting; on a reward model 5 of lr 1e-3, 3e-3 × klCoef 0.03, 0.1, 0.3.
 */
export const kLanguageModel: LanguageModelOptions = {
  seeds: 3,
  dpo: { lr: 1e-3, beta: 0.03 },
  iterative: { lr: 6e-4, beta: 0.03 },
  ppo: { lr: 3e-3, klCoef: 0.03 },
  ppoOnModel: { lr: 1e-3, klCoef: 0.1 },
  pairs: 768,
  epochs: 2,
  rounds: 3,
  ppoSteps: 24,
  smallBatch: 32,
  largeBatch: 128,
};

export const kArms = [
  "SFT",
  "DPO, own pairs",
  "DPO, others' pairs",
  "SFT on chosen, DPO, others' pairs",
  "iterative DPO",
  "PPO",
  "PPO + advantages",
  "PPO + large batch",
  "PPO + moving reference",
  "PPO, reward of own pairs",
  "PPO, reward of others' pairs",
] as const;
export type Arm = (typeof kArms)[number];

export interface LanguageModel {
  options: LanguageModelOptions;
  /** For each arm, by seed. */
  arms: Record<Arm, Evaluation[]>;
  /** Share of the pairs of its last batch that each reward model got right, by seed. */
  rewardModels: { own: number[]; others: number[] };
  /** What the first seed's policies write. */
  samples: Record<Arm, { word: string; text: string }[]>;
}

const kIngredients: readonly (readonly [Arm, Ingredients])[] = [
  ["PPO", { normalize: false, largeBatch: false, movingReference: false }],
  ["PPO + advantages", { normalize: true, largeBatch: false, movingReference: false }],
  ["PPO + large batch", { normalize: true, largeBatch: true, movingReference: false }],
  ["PPO + moving reference", { normalize: true, largeBatch: true, movingReference: true }],
];
const kAll = kIngredients.at(-1)![1];

/** Prompts whose pairs measure accuracy: other samples of the SFT model, a few at prompts that are trained on too. */
const kHeldOutPairs = 256;

export async function languageModel(
  device: Device,
  options: LanguageModelOptions,
  progress: (line: string) => void = () => undefined,
): Promise<LanguageModel> {
  const task = await VowelTask.open(device);
  const empty = <T>(): Record<Arm, T[]> => Object.fromEntries(kArms.map((arm) => [arm, []])) as never;
  const result: LanguageModel = {
    options,
    arms: empty<Evaluation>(),
    rewardModels: { own: [], others: [] },
    samples: empty<{ word: string; text: string }>(),
  };
  for (let s = 0; s < options.seeds; s++) {
    const seed = (s + 1) * 2 ** 16;
    const started = performance.now();
    const heldOut = await task.sampledPairs(task.sft, task.prompts(kHeldOutPairs, seed + 2 ** 15), seed + 1);
    const own = await task.sampledPairs(task.sft, task.prompts(options.pairs, seed), seed);
    const others = task.humanPairs(own.pairs.length, seed);
    const measure = async (arm: Arm, model: Model): Promise<void> => {
      const evaluation = await task.evaluate(model, heldOut, seed + 2);
      result.arms[arm].push(evaluation);
      if (s === 0) result.samples[arm] = await task.samples(model, 4, 1);
      const { reward, kl } = evaluation;
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      progress(
        `language model: seed ${s + 1} of ${options.seeds}, ${arm}: reward ${reward.toFixed(3)}, KL ${kl.toFixed(1)}, ${seconds} s`,
      );
    };
    await measure("SFT", task.sft);
    for (const [arm, train] of trainings(task, { own, others, options, seed, result })) {
      const policy = await task.policy();
      await train(policy);
      await measure(arm, policy);
      policy.dispose();
    }
  }
  task.dispose();
  return result;
}

interface Given {
  own: Pairs;
  others: Pairs;
  options: LanguageModelOptions;
  seed: number;
  result: LanguageModel;
}

/** How each arm but SFT is trained. */
function trainings(
  task: VowelTask,
  { own, others, options, seed, result }: Given,
): (readonly [Arm, (policy: Model) => Promise<unknown>])[] {
  const { epochs } = options;
  const onPairs = (name: "own" | "others", pairs: Pairs) => async (policy: Model) => {
    const fitted = await rewardModel(task, pairs, epochs, seed);
    result.rewardModels[name].push(fitted.accuracy);
    await ppo(task, policy, options.ppoOnModel, kAll, options, seed, fitted.head);
    disposeRewardModel(fitted);
  };
  return [
    ["DPO, own pairs", (policy) => dpo(policy, own, options.dpo, epochs, seed)],
    ["DPO, others' pairs", (policy) => dpo(policy, others, options.dpo, epochs, seed)],
    [
      "SFT on chosen, DPO, others' pairs",
      async (policy) => {
        await sftOnChosen(policy, others, epochs, seed);
        await dpo(policy, others, options.dpo, epochs, seed);
      },
    ],
    ["iterative DPO", (policy) => iterativeDpo(task, policy, options.iterative, options, seed)],
    ...kIngredients.map(
      ([arm, ingredients]) =>
        [arm, (policy: Model) => ppo(task, policy, options.ppo, ingredients, options, seed)] as const,
    ),
    ["PPO, reward of own pairs", onPairs("own", own)],
    ["PPO, reward of others' pairs", onPairs("others", others)],
  ];
}

/** Arms with what was measured of them, as Markdown. */
export function armsTable({ arms }: LanguageModel): string {
  const keys = ["reward", "kl", "accuracy", "stopped"] as const;
  const digits = { reward: 3, kl: 1, accuracy: 3, stopped: 2 };
  return markdownTable(
    ["policy", "true reward", "KL to SFT, nats", "preference accuracy", "came to an end"],
    kArms.map((arm) => [
      arm,
      ...keys.map((key) =>
        meanText(
          arms[arm].map((one) => one[key]),
          digits[key],
        ),
      ),
    ]),
  );
}

export function languageModelFindings({ arms }: LanguageModel): Finding[] {
  const rewards = (arm: Arm): number[] => arms[arm].map(({ reward }) => reward);
  /** Is `better` above `worse`? Yes if the 95 % interval of the difference by seed lies above 0. */
  const above = (claim: string, paper: string, worse: Arm, better: Arm): Finding => {
    const differences = rewards(better).map((reward, i) => reward - rewards(worse)[i]!);
    const sure = mean(differences) - halfInterval(differences) > 0;
    return {
      claim: `language model: ${claim}`,
      paper,
      ours: `${mean(rewards(worse)).toFixed(3)} → ${mean(rewards(better)).toFixed(3)} (difference ${meanText(differences)})`,
      holds: sure ? "yes" : mean(differences) > 0 ? "in part" : "no",
    };
  };
  const full: Arm = "PPO + moving reference";
  return [
    above("DPO improves on SFT", "HH .532 → .611", "SFT", "DPO, own pairs"),
    above("iterative DPO improves on DPO", "HH .611 → .678", "DPO, own pairs", "iterative DPO"),
    above("PPO improves on DPO", "HH .611 → .718", "DPO, own pairs", full),
    above("PPO improves on iterative DPO", "HH .678 → .718", "iterative DPO", full),
    above(
      "PPO improves on DPO, both from the same pairs alone",
      "HH .611 → .718",
      "DPO, own pairs",
      "PPO, reward of own pairs",
    ),
    above("normalised advantages help PPO", "HH .706 → .716; APPS 18.0 → 38.1", "PPO", "PPO + advantages"),
    above(
      "a large batch helps further",
      "HH .716 → .716; APPS 38.1 → 42.3",
      "PPO + advantages",
      "PPO + large batch",
    ),
    above("a moving reference helps further", "HH .716 → .718; APPS 42.3 → 44.4", "PPO + large batch", full),
    above(
      "DPO suffers from pairs of another distribution",
      "SafeRLHF, safe: DPO 55.4 %",
      "DPO, others' pairs",
      "DPO, own pairs",
    ),
    above(
      "SFT on the preferred texts first mends it",
      "SafeRLHF, safe: 55.4 → 71.8 %",
      "DPO, others' pairs",
      "SFT on chosen, DPO, others' pairs",
    ),
    above(
      "PPO suffers less: a reward model of those pairs",
      "SafeRLHF, safe: 55.4 → 99.5 %",
      "DPO, others' pairs",
      "PPO, reward of others' pairs",
    ),
  ];
}

export function rewardPlot({ arms, options }: LanguageModel): string {
  return barChart({
    title: `Mean true reward of definitions on held-out words, ${options.seeds} seeds`,
    yLabel: "mean and 95 % interval",
    groups: ["held-out words"],
    series: kArms.map((arm) => ({ name: arm, values: [arms[arm].map(({ reward }) => reward)] })),
  });
}

export function frontierPlot({ arms }: LanguageModel): string {
  return scatterChart({
    title: "True reward against distance from the SFT model, one point a seed",
    xLabel: "KL(policy ‖ SFT), nats a definition",
    yLabel: "mean true reward",
    series: kArms.map((arm) => ({
      name: arm,
      points: arms[arm].map(({ kl, reward }) => ({ x: kl, y: reward })),
    })),
  });
}
