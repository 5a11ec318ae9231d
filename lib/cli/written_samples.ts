import type { RewardFunction, Sample } from "../index.ts";
import type { WrittenSample } from "../train/run_folder.ts";

/** Kept of a step. */
const kSamples = 4;

/** A reward that remembers some of what it scored, until it is asked for. */
export interface RememberingReward {
  reward: RewardFunction;
  /** Some of what was scored in a step; to be asked for each step, in order. */
  written(step: number): readonly WrittenSample[];
}

/** Remembers every `every`-th step's samples, and the first's; 0: none. */
export function remembering(reward: RewardFunction, every: number): RememberingReward {
  // Steps are told one late: by then the next may have been scored.
  const waiting: Omit<WrittenSample, "step">[][] = [];
  return {
    reward: async (samples) => {
      const scores = await reward(samples);
      waiting.push(some(samples, scores));
      return scores;
    },
    written: (step) => {
      const samples = waiting.shift() ?? [];
      const wanted = every > 0 && (step === 1 || step % every === 0);
      return wanted ? samples.map((sample) => ({ step, ...sample })) : [];
    },
  };
}

/** A few samples from all over a rollout, in which equal prompts stand together. */
function some(samples: readonly Sample[], scores: ArrayLike<number>): Omit<WrittenSample, "step">[] {
  const count = Math.min(kSamples, samples.length);
  return Array.from({ length: count }, (_, i) => {
    const at = Math.floor((i * samples.length) / count);
    const { prompt, completion, finished } = samples[at]!;
    return { score: scores[at]!, prompt, completion, finished };
  });
}
