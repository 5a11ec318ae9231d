import { ConfigError } from "../core/errors.ts";

/** One process of several that do the same work, each its part. */
export interface Share {
  readonly rank: number;
  readonly of: number;
}

/**
 * This process's share, from what started it: torchrun (RANK, WORLD_SIZE), or Slurm, by the place in an array job and the
 * place in a job of several processes (srun), the two multiplied. Alone where neither says anything.
 * @throws ConfigError for a number that isn't one, or a rank without the number of ranks.
 */
export function shareOf(env: Readonly<Record<string, string | undefined>>): Share {
  const torchrun = pairOf(env, "RANK", ["WORLD_SIZE"]);
  if (torchrun) return torchrun;
  // A job's script has these too, and runs once: only srun starts one process for each.
  const script = env.SLURM_JOB_ID !== undefined && (env.SLURM_STEP_ID ?? env.SLURM_STEPID) === undefined;
  const process = !script ? pairOf(env, "SLURM_PROCID", ["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"]) : undefined;
  const array = pairOf(env, "SLURM_ARRAY_TASK_ID", ["SLURM_ARRAY_TASK_COUNT"], {
    from: whole(env, "SLURM_ARRAY_TASK_MIN") ?? 0,
    step: whole(env, "SLURM_ARRAY_TASK_STEP") ?? 1,
  });
  const outer = array ?? { rank: 0, of: 1 };
  const inner = process ?? { rank: 0, of: 1 };
  return { rank: outer.rank * inner.of + inner.rank, of: outer.of * inner.of };
}

function pairOf(
  env: Readonly<Record<string, string | undefined>>,
  rankName: string,
  sizeNames: readonly string[],
  { from, step } = { from: 0, step: 1 },
): Share | undefined {
  const number = whole(env, rankName);
  if (number === undefined) return undefined;
  const sizeName = sizeNames.find((name) => env[name]) ?? sizeNames.at(-1)!;
  const of = whole(env, sizeName);
  const rank = (number - from) / step;
  if (of !== undefined && Number.isInteger(rank) && rank >= 0 && rank < of) return { rank, of };
  throw new ConfigError(
    `pipeline: ${rankName} is ${number} and ${sizeName} ${of ?? "missing"}, a rank below the number of ranks was needed. An array job has to be submitted as --array=0-N`,
    rankName,
  );
}

function whole(env: Readonly<Record<string, string | undefined>>, name: string): number | undefined {
  const text = env[name];
  if (text === undefined || text === "") return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  throw new ConfigError(`pipeline: ${name} is "${text}", a whole number was needed`, name);
}
