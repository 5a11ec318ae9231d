// B completions
import { ConfigError } from "../../core/errors.ts";
import { permutation } from "../../core/random.ts";
import { disposeAll } from "../../core/tape.ts";
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

/** Learns from the completions of rollouts, in epochs · minibatches updates each. */
export class Learning<B extends CompletionBatch<string>> {
  /** What the latest updates were made from. */
  private latest: B[] = [];

  constructor(
    private readonly train: TrainStep<B>,
    private readonly options: LearningOptions,
  ) {}

  /**
   * Step `step`, from `B` completions, of some of which `minibatch` makes a batch. Returns when the device is through.
   */
  async from(
    step: number,
    B: number,
    minibatch: (chosen: readonly number[]) => B,
    optimizer: OptimizerRun,
  ): Promise<Learned> {
    const { epochs, minibatches, accumulationSteps, seed } = this.options;
    const pending: Promise<Record<string, number>>[] = [];
    let lr = Number.NaN;
    this.latest = [];
    for (let epoch = 0; epoch < epochs; epoch++) {
      const order = [...permutation(B, seed, step * epochs + epoch)];
      for (const [i, chosen] of cut(order, Math.min(minibatches, B)).entries()) {
        const round = (step * epochs + epoch) * minibatches + i;
        const parts = cut(chosen, Math.min(accumulationSteps, chosen.length)).map(minibatch);
        this.latest.push(...parts);
        const update = this.train.run(step, parts, optimizer, round);
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

  /** Forward and backward of the latest updates once more, to find where one failed. */
  repeat(step: number): void {
    for (const batch of this.latest) {
      const { totals, grads } = this.train.gradients(step, [batch]);
      disposeAll(totals, grads);
    }
  }
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
