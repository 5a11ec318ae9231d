// B completions
import { ConfigError } from "../../core/errors.ts";
import { permutation } from "../../core/random.ts";
import type { OptimizerRun } from "../../optim/optimizer_run.ts";
import type { TrainStep } from "../step.ts";
import type { CompletionBatch } from "./completions.ts";

/** How a rollout is learned from. */
export interface LearningOptions {
  /** Times that each completion is learned from. */
  epochs: number;
  /**
   * Updates an epoch: the completions are cut into so many parts, in an order of each epoch's own; fewer where there are fewer
   * completions, as in the last rollout of an epoch of prompts.
   */
  minibatches: number;
  /** Parts that a minibatch is cut into again, to save memory. */
  accumulationSteps: number;
  seed: number;
}

/** What the updates of a step came to: means over them. */
export interface Learned {
  lr: number;
  scalars: Record<string, number>;
}

/**
 * Learns from the completions of a rollout: epochs · minibatches updates. `minibatch` makes a batch of some of the completions.
 * Returns when the device is through.
 */
export async function learnFrom<B extends CompletionBatch<string>>(
  step: number,
  B: number,
  minibatch: (chosen: readonly number[]) => B,
  train: TrainStep<B>,
  optimizer: OptimizerRun,
  { epochs, minibatches, accumulationSteps, seed }: LearningOptions,
): Promise<Learned> {
  const pending: Promise<Record<string, number>>[] = [];
  let lr = Number.NaN;
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = [...permutation(B, seed, step * epochs + epoch)];
    for (const [i, chosen] of cut(order, Math.min(minibatches, B)).entries()) {
      const round = (step * epochs + epoch) * minibatches + i;
      const parts = cut(chosen, Math.min(accumulationSteps, chosen.length)).map(minibatch);
      const update = train.run(step, parts, optimizer, round);
      ({ lr } = update);
      pending.push(update.scalars);
    }
  }
  const scalars: Record<string, number> = {};
  for (const update of await Promise.all(pending)) {
    for (const [name, value] of Object.entries(update))
      scalars[name] = (scalars[name] ?? 0) + value / pending.length;
  }
  return { lr, scalars };
}

/** Throws ConfigError for more minibatches than a whole rollout has completions. */
export function checkMinibatches(name: string, minibatches: number, completions: number): void {
  if (minibatches <= completions) return;
  throw new ConfigError(
    `${name}: minibatches is ${minibatches}, at most the ${completions} completions of a step was needed`,
    "minibatches",
  );
}

/** A list in `n` parts of about equal length. */
function cut<T>(list: readonly T[], n: number): T[][] {
  return Array.from({ length: n }, (_, i) =>
    list.slice(Math.floor((i * list.length) / n), Math.floor(((i + 1) * list.length) / n)),
  );
}
