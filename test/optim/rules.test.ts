import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { Random } from "../../lib/core/random.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { adam, adamw } from "../../lib/optim/adamw.ts";
import { chain } from "../../lib/optim/chain.ts";
import { clipByGlobalNorm } from "../../lib/optim/clip.ts";
import { lion } from "../../lib/optim/lion.ts";
import type { Optimizer } from "../../lib/optim/optimizer.ts";
import { sgd } from "../../lib/optim/sgd.ts";
import { relativeError, roundBf16 } from "../support/check_op.ts";
import { dataOf, optimizers, thrown, update, vectors } from "../support/optimizers.ts";
import { testDevice } from "../support/test_device.ts";

let dev: Device;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2, debug: ["guard"] });
});
afterAll(() => dev.close());

describe("golden tables (float64, rounded to 12 digits)", () => {
  interface Case {
    kind: "adamw" | "adam" | "sgd" | "lion";
    lr: number;
    weight_decay: number;
    clip_grad_norm: number | null;
    b1: number;
    b2: number;
    eps: number;
    momentum: number;
    nesterov: boolean;
    grad_norm_before_clip: number[];
    params_after_each_step: number[][][];
  }
  const golden = JSON.parse(readFileSync(new URL("../golden/optimizers.json", import.meta.url), "utf8")) as {
    params: number[][];
    grads: number[][][];
    cases: Case[];
  };

  function optimizerFor(c: Case): Optimizer {
    const { kind, lr, weight_decay: weightDecay, clip_grad_norm: maxNorm, eps, momentum, nesterov } = c;
    const betas = [c.b1, c.b2] as const;
    const make = {
      adamw: () => adamw({ lr, weightDecay, betas, eps }),
      adam: () => adam({ lr, weightDecay, betas, eps }),
      sgd: () => sgd({ lr, weightDecay, momentum, nesterov }),
      lion: () => lion({ lr, weightDecay, betas }),
    }[kind];
    return maxNorm === null ? make() : chain(clipByGlobalNorm(maxNorm), make());
  }

  golden.cases.forEach((c, i) => {
    it(`case ${i}: ${c.kind}, decay ${c.weight_decay}, clip ${c.clip_grad_norm}`, async () => {
      const params = vectors(dev, golden.params);
      const run = optimizerFor(c).init(params);
      for (const [step, grads] of golden.grads.entries()) {
        const { norm } = await update(dev, run, grads);
        expect(relativeError([norm], [c.grad_norm_before_clip[step]!])).toBeLessThan(1e-6);
        const got = (await dataOf(params)).flat();
        expect(relativeError(got, c.params_after_each_step[step]!.flat()), `step ${step}`).toBeLessThan(1e-6);
      }
      run.dispose();
      disposeAll(params);
    });
  });
});

it("settings out of range are refused by name", () => {
  const keys = [
    () => adamw({ betas: [1, 0.9] }),
    () => adam({ betas: [0.9, -0.1] }),
    () => adamw({ eps: -1 }),
    () => lion({ betas: [0.9, 1] }),
    () => sgd({ momentum: Number.NaN }),
    () => sgd({ nesterov: true }),
    () => lion({ weightDecay: -1 }),
  ].map((make) => thrown(make).key);
  expect(keys).toEqual(["betas[0]", "betas[1]", "eps", "betas[1]", "momentum", "nesterov", "weightDecay"]);
});

describe("decay filter", () => {
  it.each(["adamw", "adam", "sgd", "lion"])("%s: the others decay by nothing", async (name) => {
    const make = { adamw, adam, sgd, lion }[name]!;
    const shapes: Record<string, number[]> = { norm: [3], weight: [2, 2], bias: [2], head: [1, 2] };
    const fresh = () =>
      Object.fromEntries(
        Object.entries(shapes).map(([key, shape]) => [key, dev.full(shape, key.length / 4)]),
      );
    const gradients = Object.fromEntries(
      Object.entries(shapes).map(([key, shape]) => [key, dev.full(shape, 0.25)]),
    );
    const trained = async (options: object) => {
      const params = fresh();
      const run = make({ lr: 0.1, ...options }).init(params);
      for (let i = 0; i < 3; i++) run.step(gradients).gradNorm.dispose();
      const result = Object.fromEntries(
        await Promise.all(Object.entries(params).map(async ([key, p]) => [key, await p.data()])),
      );
      run.dispose();
      disposeAll(params);
      return result;
    };
    const all = await trained({ weightDecay: 0.5 });
    const none = await trained({ weightDecay: 0 });
    const seen: unknown[] = [];
    const decay = (key: string, shape: readonly number[]) => {
      seen.push([key, shape]);
      return shape.length > 1;
    };
    const some = await trained({ weightDecay: 0.5, decay });
    expect(seen).toEqual(Object.entries(shapes));
    expect(some).toEqual({ norm: none.norm, weight: all.weight, bias: none.bias, head: all.head });
    expect(all.norm).not.toEqual(none.norm);
    expect(await trained({ weightDecay: 0.5, decay: () => false })).toEqual(none);
    disposeAll(gradients);
  });
});

describe("bf16 parameters", () => {
  it.each(Object.keys(optimizers))("%s: masters in f32 take the updates", async (name) => {
    const random = new Random(5);
    const start = Float32Array.from({ length: 70 }, () => roundBf16(random.normal()));
    const half = { w: dev.tensor(start, [7, 10], { dtype: "bf16" }), b: dev.full([3], 1) };
    const full = { w: dev.tensor(start, [7, 10]), b: dev.full([3], 1) };
    const runs = [optimizers[name]!().init(half), optimizers[name]!().init(full)];
    for (let i = 0; i < 4; i++) {
      const values = Float32Array.from({ length: 70 }, () => random.normal() * 0.01);
      const grads = { w: dev.tensor(values, [7, 10]), b: dev.full([3], 0.1) };
      for (const run of runs) run.step(grads).gradNorm.dispose();
      disposeAll(grads);
    }
    const state = runs[0]!.state();
    expect(Object.keys(state).filter((key) => key.startsWith("master"))).toEqual(["master.w"]);
    expect(Object.keys(runs[1]!.state()).filter((key) => key.startsWith("master"))).toEqual([]);
    const want = await full.w.data();
    expect(await state["master.w"]!.data()).toEqual(want);
    expect(await half.w.data()).toEqual(want.map(roundBf16));
    expect(await half.b.data()).toEqual(await full.b.data());
    for (const run of runs) run.dispose();
    disposeAll(half, full);
  });
});
