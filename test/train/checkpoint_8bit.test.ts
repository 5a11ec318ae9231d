import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { device } from "../../lib/core/device.ts";
import { ConfigError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import type { OptimizerRun } from "../../lib/optim/optimizer_run.ts";
import { loadCheckpoint, saveCheckpoint } from "../../lib/train/checkpoint.ts";
import { testDevice } from "../support/test_device.ts";

const optimizer = adamw({ lr: 0.01, states: "8bit" });
const { fingerprint } = optimizer;

test("8-bit state goes through a checkpoint bit for bit, and fits no run in f32", async () => {
  const dev = await device(testDevice, { threads: 2 });
  const dir = await mkdtemp(path.join(tmpdir(), "mixwright-checkpoint-"));
  const tensor = (seed: number) => {
    const random = new Random(seed);
    return dev.tensor(
      Float32Array.from({ length: 5003 }, () => random.normal()),
      [5003],
    );
  };
  const walk = (run: OptimizerRun, from: number, to: number) => {
    for (let t = from; t < to; t++) {
      const grads = { w: tensor(100 + t), norm: dev.full([8], t / 10) };
      run.step(grads).gradNorm.dispose();
      disposeAll(grads);
    }
  };
  const bytes = (run: OptimizerRun, params: { w: ReturnType<typeof tensor> }) =>
    Promise.all([params.w, ...Object.values(run.state())].map((t) => t.bytesData()));
  const begin = (seed: number) => ({ w: tensor(seed), norm: dev.full([8], 1) });

  const straight = begin(1);
  const one = optimizer.init(straight);
  walk(one, 0, 3);
  await saveCheckpoint({ dir }, { step: 3, tokens: 0, fingerprint }, straight, one);
  const resumed = begin(2);
  const two = optimizer.init(resumed);
  expect((await loadCheckpoint({ dir }, fingerprint, resumed, two))?.step).toBe(3);
  expect(two.updates).toBe(3);
  for (const run of [one, two]) walk(run, 3, 6);
  expect(await bytes(two, resumed)).toEqual(await bytes(one, straight));

  const f32 = adamw({ lr: 0.01 });
  const other = f32.init(resumed);
  await expect(loadCheckpoint({ dir }, f32.fingerprint, resumed, other)).rejects.toThrow(ConfigError);
  for (const run of [one, two, other]) run.dispose();
  disposeAll(straight, resumed);
  dev.close();
  await rm(dir, { recursive: true });
});
