// How each policy of the language-model study is trained: all from the same SFT model, by the library's trainers.
import {
  adamw,
  attachRewardHead,
  chain,
  clipByGlobalNorm,
  type Model,
  type Optimizer,
  type Pairs,
  type PpoOptions,
  type ScoreHead,
  type StepMetrics,
  schedule,
  trainDpo,
  trainPpo,
  trainReward,
  trainSft,
} from "../../../lib/index.ts";
import { chosenBatches, kNewTokens, type VowelTask, vowelScore } from "./vowel_task.ts";

/** What was chosen by tuning. */
export interface Settings {
  dpo: { lr: number; beta: number };
  iterative: { lr: number; beta: number };
  ppo: { lr: number; klCoef: number };
  /** Where a reward model gives the reward, which has another scale. */
  ppoOnModel: { lr: number; klCoef: number };
}

/** How much is done. */
export interface Size {
  /** Prompts at which a pair is drawn, and as many pairs of people's. */
  pairs: number;
  epochs: number;
  rounds: number;
  ppoSteps: number;
  smallBatch: number;
  largeBatch: number;
}

const kPairBatch = 32;

const optimizerOf = (lr: number, steps: number): Optimizer =>
  chain(
    clipByGlobalNorm(1),
    adamw({
      lr: schedule.warmupCosine({
        peak: lr,
        min: lr / 10,
        warmupSteps: Math.min(5, steps - 1),
        totalSteps: steps,
      }),
      betas: [0.9, 0.95],
    }),
  );

async function last(run: AsyncIterable<StepMetrics>): Promise<StepMetrics> {
  let metrics: StepMetrics | undefined;
  for await (const step of run) metrics = step;
  return metrics!;
}

const stepsOf = ({ pairs }: Pairs, epochs: number): number => Math.ceil(pairs.length / kPairBatch) * epochs;

/** DPO of `model` on pairs; the reference is the model as it comes. */
export async function dpo(
  model: Model,
  pairs: Pairs,
  { lr, beta }: Settings["dpo"],
  epochs: number,
  seed: number,
): Promise<void> {
  const steps = stepsOf(pairs, epochs);
  const optimizer = optimizerOf(lr, steps);
  await last(trainDpo({ model, data: pairs, optimizer, steps, batchSize: kPairBatch, beta, seed }));
}

/** The preferred texts as examples first. */
export async function sftOnChosen(model: Model, pairs: Pairs, epochs: number, seed: number): Promise<void> {
  const data = chosenBatches(pairs, kPairBatch);
  const steps = data.length * epochs;
  await last(trainSft({ model, data, optimizer: optimizerOf(1e-3, steps), steps, seed }));
}

/** Each round: pairs from the policy as it is, judged by the true reward, and DPO on them with that policy as reference. */
export async function iterativeDpo(
  task: VowelTask,
  model: Model,
  settings: Settings["dpo"],
  { pairs, epochs, rounds }: Size,
  seed: number,
): Promise<void> {
  const each = Math.floor(pairs / rounds);
  const { prompts } = task.prompts(pairs, seed);
  for (let round = 0; round < rounds; round++) {
    const own = { prompts: prompts.slice(round * each, (round + 1) * each), truncated: [], dropped: [] };
    const sampled = await task.sampledPairs(model, own, seed * 100 + round + 1);
    await dpo(model, sampled, settings, epochs, seed * 100 + round);
  }
}

/** Which of the paper's three ingredients are in. */
export interface Ingredients {
  normalize: boolean;
  largeBatch: boolean;
  movingReference: boolean;
}

/** PPO with the true reward, or a reward model's. */
export async function ppo(
  task: VowelTask,
  model: Model,
  { lr, klCoef }: Settings["ppo"],
  { normalize, largeBatch, movingReference }: Ingredients,
  size: Size,
  seed: number,
  reward: PpoOptions["reward"] = (samples) => samples.map(({ completion }) => vowelScore(completion)),
): Promise<StepMetrics> {
  const { ppoSteps: steps, smallBatch } = size;
  const batchSize = largeBatch ? size.largeBatch : smallBatch;
  return last(
    trainPpo({
      model,
      tokenizer: task.tokenizer,
      data: task.prompts(steps * batchSize, seed),
      reward,
      optimizer: optimizerOf(lr, steps),
      steps,
      batchSize,
      accumulationSteps: batchSize / smallBatch,
      maxNewTokens: kNewTokens,
      klCoef,
      epochs: 2,
      normalizeAdvantages: normalize,
      ...(movingReference && { referenceDecay: 0.95 }),
      seed,
    }),
  );
}

/** A reward model fitted on pairs, from the SFT model. The caller disposes of head and model. */
export async function rewardModel(
  task: VowelTask,
  pairs: Pairs,
  epochs: number,
  seed: number,
): Promise<{ head: ScoreHead; model: Model; accuracy: number }> {
  const model = await task.policy();
  const head = attachRewardHead(model, { seed });
  const steps = stepsOf(pairs, epochs);
  const optimizer = optimizerOf(1e-3, steps);
  const { "rewards/accuracies": accuracy = Number.NaN } = await last(
    trainReward({ model, head, data: pairs, optimizer, steps, batchSize: kPairBatch, seed }),
  );
  return { head, model, accuracy };
}

/** Gives back what rewardModel made. */
export function disposeRewardModel({ head, model }: { head: ScoreHead; model: Model }): void {
  head.dispose();
  model.dispose();
}
