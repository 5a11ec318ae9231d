import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError } from "../../lib/core/errors.ts";
import { native } from "../../lib/core/native.ts";
import type { Mixture } from "../../lib/data/mix.ts";
import type { Model } from "../../lib/models/model.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { lion } from "../../lib/optim/lion.ts";
import { constant, join, linear } from "../../lib/optim/schedule.ts";
import { sliceDocuments } from "../../lib/text/token_batch.ts";
import { evaluateLoss } from "../../lib/train/evaluate.ts";
import type { StepMetrics } from "../../lib/train/metrics.ts";
import { DataOpener } from "../../lib/train/open_data.ts";
import { type PretrainOptions, pretrain } from "../../lib/train/pretrain.ts";
import {
  continualRun,
  kContinualSteps,
  kPhaseSteps,
  oldAndNew,
  tinyCorpus,
} from "../support/continual_run.ts";
import { tempDir } from "../support/temp_dir.ts";
import { tinyData, tinyMoe } from "../support/tiny_run.ts";

let dev: Device;
beforeAll(async () => {
  dev = await device("cpu", { threads: 2 });
});
afterAll(() => {
  expect(dev.stats().live).toBe(0);
  dev.close();
});

/** Metrics of a run, without its times. */
async function runOf(options: PretrainOptions): Promise<Omit<StepMetrics, "tokensPerSecond">[]> {
  const seen: Omit<StepMetrics, "tokensPerSecond">[] = [];
  for await (const { tokensPerSecond, ...m } of pretrain(options)) seen.push(m);
  return seen;
}

const bits = async (model: Model): Promise<Uint8Array[]> =>
  Promise.all(Object.values(model.params).map((tensor) => tensor.bytesData()));

const validation = () => ({ every: 1, sets: { one: tinyData().slice(0, 1), two: tinyData().slice(3) } });

describe("sources of a mixture", () => {
  test("a source's loss is that of its documents alone, and all tokens are counted", async () => {
    using model = tinyMoe(dev);
    const { phases, ...options } = continualRun(model);
    for (const mixture of [oldAndNew(0.317), phases![1]!.data as Mixture]) {
      const optimizer = adamw({ lr: 0, weightDecay: 0 });
      const seen = await runOf({ ...options, optimizer, data: mixture, steps: 7, auxLossCoef: 0 });
      const names = mixture.parts.map(({ name }) => name);
      for (const m of seen) {
        expect(names.reduce((sum, name) => sum + (m[`tokens/${name}`] ?? 0), 0)).toBe(m.tokens);
        expect(m.loss).toBeGreaterThanOrEqual(Math.min(...names.map((name) => m[`loss/${name}`] ?? m.loss)));
      }
    }
    // Rows mixed within a batch, against their slices.
    const source = await new DataOpener({ model, batchTokens: 48, seed: 0 }).open(oldAndNew(0.317));
    const [m] = await runOf({
      model,
      data: oldAndNew(0.317),
      batchTokens: 48,
      steps: 1,
      optimizer: adamw({ lr: 0 }),
    });
    const batch = await source.batch(0);
    let first = 0;
    for (const { name, documents } of batch.sources!) {
      const part = sliceDocuments(batch, first, first + documents);
      first += documents;
      expect(m![`loss/${name}`]).toBeCloseTo(await evaluateLoss(model, [part]), 5);
      expect(m![`tokens/${name}`]).toBe(part.tokens.length);
    }
    expect(m!.loss).toBeCloseTo(await evaluateLoss(model, [batch]), 5);
  });

  test("the losses of sources come out of the one pass that the loss takes", async () => {
    using model = tinyMoe(dev);
    const { ops } = native();
    const heads = ["linear_cross_entropy", "linear_cross_entropy_grad", "linear_cross_entropy_loss"] as const;
    const kernels = heads.map((name) => ops[name]!);
    const calls: string[] = [];
    heads.forEach((name, i) => {
      ops[name] = (...operands) => {
        calls.push(name);
        kernels[i]!(...operands);
      };
    });
    try {
      const run = { model, data: oldAndNew(0.317), batchTokens: 48, steps: 2, optimizer: adamw() };
      for (const m of await runOf(run)) expect(m["loss/old"]).toBeGreaterThan(0);
    } finally {
      heads.forEach((name, i) => {
        ops[name] = kernels[i]!;
      });
    }
    expect(calls).toEqual(["linear_cross_entropy_loss", "linear_cross_entropy_loss"]);
  });

  test("a mixture of one source trains as the source alone does", async () => {
    const data = () => tinyCorpus(4);
    const losses: number[][] = [];
    for (const given of [data(), oldAndNew(0)]) {
      using model = tinyMoe(dev);
      const seen = await runOf({
        model,
        data: given,
        batchTokens: 48,
        steps: 6,
        optimizer: adamw({ lr: 1e-2 }),
      });
      losses.push(seen.map(({ loss }) => loss));
    }
    expect(losses[1]).toEqual(losses[0]);
  });
});

describe("phases", () => {
  test("each step says its phase; data and rate are the phase's own", async () => {
    using model = tinyMoe(dev);
    const seen = await runOf(continualRun(model));
    const names = ["start", "turns", "alone"].flatMap((name, k) =>
      new Array<string>(kPhaseSteps[k]!).fill(name),
    );
    expect(seen.map(({ phase }) => phase)).toEqual(names);
    expect(seen.map(({ lr }) => lr)[5]).toBeCloseTo(4e-4, 12);
    expect(seen[4]).not.toHaveProperty("tokens/newest");
    expect(seen[8]).toHaveProperty("tokens/newest");
    expect(seen[14]!["tokens/newest"]).toBe(seen[8]!["tokens/newest"]);
  });

  test("stopped after any step, a resumed run has the same bits and the same metrics", async () => {
    using whole = tinyMoe(dev);
    const expected = await runOf({ ...continualRun(whole), validation: validation() });
    for (const stop of [2, 5, 7, 9, 12]) {
      using model = tinyMoe(dev);
      const checkpoint = { dir: tempDir(), every: 2, resume: true };
      const options = { ...continualRun(model), validation: validation(), checkpoint };
      const controller = new AbortController();
      const seen: Omit<StepMetrics, "tokensPerSecond">[] = [];
      for await (const { tokensPerSecond, ...m } of pretrain({ ...options, signal: controller.signal })) {
        seen.push(m);
        if (m.step === stop) controller.abort();
      }
      expect(seen.length).toBeLessThan(kContinualSteps);
      using resumed = tinyMoe(dev, 2);
      seen.push(...(await runOf({ ...options, model: resumed })));
      expect(seen).toEqual(expected);
      expect(await bits(resumed)).toEqual(await bits(whole));
    }
  });

  test("a reset optimizer is a new one; a kept one isn't", async () => {
    const lr = 1e-2;
    const after: Record<string, Uint8Array[]> = {};
    for (const optimizer of ["keep", "reset"] as const) {
      using model = tinyMoe(dev);
      const phases = [
        { data: tinyCorpus(1), steps: 4 },
        { data: tinyCorpus(4), steps: 4, optimizer },
      ];
      await runOf({ model, phases, batchTokens: 48, optimizer: adamw({ lr }) });
      after[optimizer] = await bits(model);
    }
    using model = tinyMoe(dev);
    for (const seed of [1, 4])
      await runOf({ model, data: tinyCorpus(seed), steps: 4, batchTokens: 48, optimizer: adamw({ lr }) });
    expect(after.reset).toEqual(await bits(model));
    expect(after.keep).not.toEqual(after.reset);
  });

  test.each<[Partial<PretrainOptions>, string]>([
    [{ phases: [] }, "pretrain: phases is empty"],
    [{ phases: [{ data: tinyData(), steps: 1 }], steps: 3 }, "steps is given beside phases"],
    [{ phases: [{ data: tinyData(), steps: 1 }], data: tinyData() }, "data is given beside phases"],
    [{ phases: [{ data: tinyData(), steps: 0 }] }, "phase phase-1: steps is 0, a whole number from 1"],
    [
      { phases: [{ data: tinyData(), steps: 1, optimizer: "rest" as "reset" }] },
      'optimizer is "rest", "keep" or "reset" was needed',
    ],
    [{ phases: [{ data: [], steps: 1 }] }, "data holds no batch"],
    [
      { phases: [{ data: tinyData(), step: 1 } as never] },
      'pretrain, phase 1: unknown option "step", is it steps?',
    ],
    [
      {
        phases: [
          { name: "a", data: tinyData(), steps: 1 },
          { name: "a", data: tinyData(), steps: 1 },
        ],
      },
      "two phases are named a",
    ],
  ])("refuses %j", async (options, message) => {
    using model = tinyMoe(dev);
    const run = runOf({ model, optimizer: adamw({ lr: 1e-3 }), ...options });
    await expect(run).rejects.toThrow(message);
  });

  test("a run is resumed with its own phases only", async () => {
    using model = tinyMoe(dev);
    const checkpoint = { dir: tempDir(), resume: true };
    const { phases = [], ...options } = continualRun(model);
    await runOf({ ...options, phases, checkpoint });
    const [first, ...others] = phases;
    const longer = [{ ...first!, steps: first!.steps + 1 }, ...others];
    await expect(runOf({ ...options, phases: longer, checkpoint })).rejects.toThrow(
      "belongs to a run with phases",
    );
  });
});

describe("forks", () => {
  const constantRun = (model: Model): PretrainOptions => ({
    model,
    data: oldAndNew(0.05),
    steps: 8,
    batchTokens: 48,
    optimizer: adamw({ lr: constant(5e-3) }),
  });

  test("with the same settings a fork is the run it comes from; with others it isn't, and each is resumable", async () => {
    using whole = tinyMoe(dev);
    const dir = tempDir();
    const seen = await runOf({
      ...constantRun(whole),
      checkpoint: { dir, every: 1, keep: 8 },
      validation: validation(),
    });
    for (const step of [3, 6, 7]) {
      using model = tinyMoe(dev, 9);
      const checkpoint = { dir: tempDir(), from: { dir, step } };
      const own = await runOf({ ...constantRun(model), checkpoint, validation: validation() });
      expect(own).toEqual(seen.slice(step));
      expect(await bits(model)).toEqual(await bits(whole));
    }
    // Annealed from two points, one of them stopped and resumed.
    const anneal = (from: number) => adamw({ lr: join([constant(5e-3), linear(5e-3, 0, 3)], [from]) });
    const annealed: Uint8Array[][] = [];
    for (const parts of [1, 2]) {
      using model = tinyMoe(dev, parts);
      const checkpoint = { dir: tempDir(), resume: true, from: { dir, step: 5 } };
      const options = { ...constantRun(model), optimizer: anneal(5), checkpoint };
      if (parts === 2) await runOf({ ...options, steps: 6 });
      const rates = (await runOf(options)).map(({ lr }) => lr);
      expect(rates.at(-1)).toBeCloseTo(5e-3 / 3, 12);
      annealed.push(await bits(model));
    }
    expect(annealed[1]).toEqual(annealed[0]);
    expect(annealed[0]).not.toEqual(await bits(whole));
  });

  test("a fork within a phase that was reset goes on with the same bias correction", async () => {
    using whole = tinyMoe(dev);
    const dir = tempDir();
    await runOf({ ...continualRun(whole), checkpoint: { dir, every: 1, keep: 20 } });
    using model = tinyMoe(dev, 9);
    await runOf({ ...continualRun(model), checkpoint: { dir: tempDir(), from: { dir, step: 7 } } });
    expect(await bits(model)).toEqual(await bits(whole));
  });

  test("is refused by name where it doesn't fit, and nothing has changed then", async () => {
    using parent = tinyMoe(dev);
    const dir = tempDir();
    await runOf({ ...constantRun(parent), steps: 2, checkpoint: { dir } });
    using model = tinyMoe(dev, 2);
    const before = await bits(model);
    const refused = (more: Partial<PretrainOptions>, from: object = { dir }) =>
      expect(
        runOf({
          ...constantRun(model),
          ...more,
          checkpoint: { dir: tempDir(), from: from as { dir: string } },
        }),
      ).rejects;
    await refused({ optimizer: lion({ lr: 1e-3 }) }).toThrow(
      /from: \S+step-00000002 holds the state of the optimizer adamw, this run has lion/,
    );
    await refused({}, { dir, step: 1 }).toThrow(/holds no checkpoint of step 1; there are 2/);
    await refused({}, { dir: tempDir() }).toThrow(/holds no checkpoint/);
    await refused({}, { dir, stp: 1 }).toThrow('unknown option "stp", is it step?');
    await refused({}, { dir, step: 0 }).toThrow("step is 0, a whole number from 1 was needed");
    await refused({ steps: 1 }).toThrow(/steps is 1, the run in \S+ has done 2 already/);
    const some = Object.fromEntries(Object.entries(model.params).slice(1));
    await refused({ params: some }).toThrow("fits no parameter of this run");
    await refused({ optimizer: lion({ lr: 1e-3 }) }).toBeInstanceOf(ConfigError);
    await refused({ params: some }).toBeInstanceOf(ConfigError);
    expect(await bits(model)).toEqual(before);
  });
});

describe("forgetting", () => {
  test("is a loss less the lowest one so far, before the first step included", async () => {
    using model = tinyMoe(dev);
    const sets = validation().sets;
    const lowest: Record<string, number> = {};
    for (const [name, batches] of Object.entries(sets)) lowest[name] = await evaluateLoss(model, batches);
    const seen = await runOf({
      model,
      data: tinyData().slice(0, 1),
      steps: 12,
      optimizer: adamw({ lr: 3e-2 }),
      validation: { every: 2, sets },
    });
    const measured = seen.filter((m) => m.validation);
    expect(measured.length).toBe(6);
    for (const m of measured) {
      for (const name of Object.keys(sets)) {
        const loss = m.validation![name]!;
        lowest[name] = Math.min(lowest[name]!, loss);
        expect(m[`forgetting/${name}`]).toBe(loss - lowest[name]!);
      }
    }
    expect(measured.at(-1)!["forgetting/one"]).toBe(0);
    expect(measured.at(-1)!["forgetting/two"]).toBeGreaterThan(0);
  });
});
