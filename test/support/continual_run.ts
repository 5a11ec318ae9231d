import { corpusOf } from "../../lib/data/corpus.ts";
import { mix } from "../../lib/data/mix.ts";
import type { Model } from "../../lib/models/model.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { chain } from "../../lib/optim/chain.ts";
import { clipByGlobalNorm } from "../../lib/optim/clip.ts";
import { rewarm } from "../../lib/optim/schedule.ts";
import type { PretrainOptions } from "../../lib/train/pretrain.ts";
import { tinyData } from "./tiny_run.ts";

/** Documents of ids below 64, the same every time. */
export const tinyCorpus = (seed: number, documents = 9) =>
  corpusOf(
    Array.from({ length: documents }, (_, d) =>
      Array.from({ length: 5 + ((d * 7 + seed) % 23) }, (_, i) => (seed * 31 + d * 13 + i * (seed + 2)) % 64),
    ),
  );

export const oldAndNew = (replay: number) =>
  mix([
    { name: "old", data: tinyCorpus(1), weight: replay },
    { name: "new", data: tinyCorpus(4), weight: 1 - replay },
  ]);

/** Steps of each phase of a tiny continual run. */
export const kPhaseSteps = [5, 4, 6];
export const kContinualSteps = kPhaseSteps.reduce((a, b) => a + b);

/**
 * Three datasets one after another: rows mixed within batches, then whole batches in turn and moments reset, then a corpus
 * alone; the learning rate warms up again with each.
 */
export function continualRun(model: Model, rounds = 1): PretrainOptions {
  const [first, second, third] = kPhaseSteps.map((steps) => steps * rounds) as [number, number, number];
  const stage = (steps: number) => ({ peak: 4e-3, min: 4e-4, warmupSteps: 2, steps });
  return {
    model,
    phases: [
      { name: "start", data: oldAndNew(0.317), steps: first },
      {
        name: "turns",
        data: mix([
          { name: "new", data: tinyData(), weight: 1 / 3 },
          { name: "newest", data: tinyData().slice(2), weight: 0.5 },
        ]),
        steps: second,
        optimizer: "reset",
      },
      { name: "alone", data: tinyCorpus(7), steps: third, optimizer: "keep" },
    ],
    optimizer: chain(
      clipByGlobalNorm(1),
      adamw({ lr: rewarm([stage(first), stage(second), stage(third)]), weightDecay: 0.01 }),
    ),
    batchTokens: 48,
    accumulationSteps: 2,
    auxLossCoef: 0.01,
  };
}
