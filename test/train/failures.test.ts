import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError, DeviceError } from "../../lib/core/errors.ts";
import type { Model } from "../../lib/models/model.ts";
import { saveModel } from "../../lib/models/save.ts";
import { checkpointSteps } from "../../lib/train/checkpoint.ts";
import { pretrain } from "../../lib/train/pretrain.ts";
import { testDevice } from "../support/test_device.ts";
import { tinyData, tinyMoe, tinyOptimizer } from "../support/tiny_run.ts";

let root: string;
let dev: Device;
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), "mixwright-failures-"));
  dev = await device(testDevice, { threads: 2 });
});
afterAll(async () => {
  dev.close();
  await rm(root, { recursive: true });
});

const options = (model: Model) => ({
  model,
  data: tinyData(),
  optimizer: tinyOptimizer(),
  auxLossCoef: 0.01,
});

async function drain(run: AsyncIterable<unknown>): Promise<number> {
  let steps = 0;
  for await (const _ of run) steps++;
  return steps;
}

async function failureOf(run: AsyncIterable<unknown>): Promise<unknown> {
  try {
    await drain(run);
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("a loss that is not finite", () => {
  test("stops the run, names step and module, and leaves parameters and checkpoint as they were", async () => {
    const model = tinyMoe(dev);
    const dir = path.join(root, "nan");
    const bad = model.params["model.layers.1.block_sparse_moe.experts.2.w2.weight"]!;
    const run = pretrain({ ...options(model), steps: 12, checkpoint: { dir, every: 4 } });
    const error = await failureOf(
      (async function* () {
        for await (const m of run) {
          // Step 6 is enqueued when step 5 is reported: the first one to read this weight is step 7.
          if (m.step === 5) bad.write(new Float32Array(bad.size).fill(Number.NaN));
          yield m;
        }
      })(),
    );
    expect(error).toBeInstanceOf(DeviceError);
    const { message, step, path: module } = error as DeviceError;
    expect(message).toContain("not finite at step 7");
    expect(step).toBe(7);
    expect(module).toContain("model.layers.1");
    expect(await checkpointSteps(dir)).toEqual([4]);
    for (const [name, tensor] of Object.entries(model.params)) {
      if (tensor !== bad) expect((await tensor.data()).every(Number.isFinite), name).toBe(true);
    }
    // The device works again, and the checkpoint continues.
    const again = tinyMoe(dev);
    expect(
      await drain(pretrain({ ...options(again), steps: 12, checkpoint: { dir, every: 4, resume: true } })),
    ).toBe(8);
    model.dispose();
    again.dispose();
    expect(dev.stats().live).toBe(0);
  });
});

describe("checkpoints", () => {
  test("an aborted run saves itself and goes on to the same bits", async () => {
    const whole = tinyMoe(dev);
    await drain(pretrain({ ...options(whole), steps: 9 }));
    const part = tinyMoe(dev);
    const dir = path.join(root, "abort");
    const controller = new AbortController();
    let seen = 0;
    for await (const m of pretrain({
      ...options(part),
      steps: 9,
      checkpoint: { dir },
      signal: controller.signal,
    })) {
      seen = m.step;
      if (m.step === 3) controller.abort();
    }
    expect(seen).toBeLessThan(6);
    expect(await checkpointSteps(dir)).toEqual([seen]);
    const resumed = tinyMoe(dev, 99); // other initial weights: all must come from the checkpoint
    await drain(pretrain({ ...options(resumed), steps: 9, checkpoint: { dir, resume: true } }));
    for (const [name, tensor] of Object.entries(whole.params)) {
      expect(await resumed.params[name]!.data(), name).toEqual(await tensor.data());
    }
    for (const model of [whole, part, resumed]) model.dispose();
  });

  test("a run refuses the folder of another one", async () => {
    const model = tinyMoe(dev);
    const dir = path.join(root, "other");
    await drain(pretrain({ ...options(model), steps: 2, checkpoint: { dir } }));
    expect(await failureOf(pretrain({ ...options(model), steps: 2, checkpoint: { dir } }))).toMatchObject({
      message: expect.stringContaining("holds checkpoints of an earlier run"),
    });
    const other = pretrain({
      ...options(model),
      steps: 2,
      auxLossCoef: 0.5,
      checkpoint: { dir, resume: true },
    });
    expect(await failureOf(other)).toBeInstanceOf(ConfigError);
    model.dispose();
    expect(dev.stats().live).toBe(0);
  });

  test("older ones go, newer ones stay", async () => {
    const model = tinyMoe(dev);
    const dir = path.join(root, "many");
    await drain(pretrain({ ...options(model), steps: 10, checkpoint: { dir, every: 2, keep: 3 } }));
    expect(await checkpointSteps(dir)).toEqual([6, 8, 10]);
    model.dispose();
  });
});

function canMount(dir: string): boolean {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", dir], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

test("a full disk during a save is an error, and what was there stays", async ({ skip }) => {
  const disk = path.join(root, "disk");
  await mkdir(disk);
  if (!canMount(disk)) return skip("no right to mount a small file system");
  const model = tinyMoe(dev);
  try {
    const target = path.join(disk, "model");
    await saveModel(model, target);
    const before = await readFile(path.join(target, "model.safetensors"));
    const checkpoint = { dir: path.join(disk, "checkpoints"), every: 1, keep: 50 };
    const error = await failureOf(pretrain({ ...options(model), steps: 50, checkpoint }));
    expect((error as NodeJS.ErrnoException)?.code).toBe("ENOSPC");
    const steps = await checkpointSteps(checkpoint.dir);
    expect((await readdir(checkpoint.dir)).length).toBe(steps.length);
    await expect(saveModel(model, target)).rejects.toMatchObject({ code: "ENOSPC" });
    expect(await readFile(path.join(target, "model.safetensors"))).toEqual(before);
    expect(await readdir(disk)).toEqual(["checkpoints", "model"]);
  } finally {
    model.dispose();
    execFileSync("umount", [disk]);
  }
});
