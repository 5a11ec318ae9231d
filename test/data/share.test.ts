import { expect, test } from "vitest";
import { shareOf } from "../../lib/data/share.ts";

test.each([
  ["nothing", {}, 0, 1],
  ["torchrun", { RANK: "2", WORLD_SIZE: "4" }, 2, 4],
  ["srun", { SLURM_JOB_ID: "9", SLURM_STEP_ID: "0", SLURM_PROCID: "3", SLURM_NTASKS: "8" }, 3, 8],
  [
    "srun with fewer processes than the job has",
    { SLURM_STEP_ID: "1", SLURM_PROCID: "1", SLURM_NTASKS: "8", SLURM_STEP_NUM_TASKS: "2" },
    1,
    2,
  ],
  ["a job's script, outside srun", { SLURM_JOB_ID: "9", SLURM_PROCID: "0", SLURM_NTASKS: "8" }, 0, 1],
  ["an array", { SLURM_JOB_ID: "9", SLURM_ARRAY_TASK_ID: "5", SLURM_ARRAY_TASK_COUNT: "10" }, 5, 10],
  [
    "an array from 1 in steps of 2",
    {
      SLURM_ARRAY_TASK_ID: "5",
      SLURM_ARRAY_TASK_COUNT: "4",
      SLURM_ARRAY_TASK_MIN: "1",
      SLURM_ARRAY_TASK_STEP: "2",
    },
    2,
    4,
  ],
  [
    "an array of several processes each",
    { SLURM_ARRAY_TASK_ID: "2", SLURM_ARRAY_TASK_COUNT: "3", SLURM_PROCID: "1", SLURM_NTASKS: "4" },
    9,
    12,
  ],
])("%s", (_, env: Record<string, string>, rank, of) => {
  expect(shareOf(env)).toEqual({ rank, of });
});

test.each([
  [{ RANK: "4", WORLD_SIZE: "4" }, "RANK is 4 and WORLD_SIZE 4, a rank below the number of ranks was needed"],
  [{ RANK: "0" }, "WORLD_SIZE missing"],
  [
    { SLURM_ARRAY_TASK_ID: "7", SLURM_ARRAY_TASK_COUNT: "2" },
    "SLURM_ARRAY_TASK_ID is 7 and SLURM_ARRAY_TASK_COUNT 2",
  ],
  [{ RANK: "one", WORLD_SIZE: "4" }, 'RANK is "one", a whole number was needed'],
])("%j is refused", (env: Record<string, string>, message) => {
  expect(() => shareOf(env)).toThrow(message);
});
