import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError, DisposedError, DTypeError, ShapeError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { scope } from "../../lib/core/scope.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { adam, adamw } from "../../lib/optim/adamw.ts";
import { lion } from "../../lib/optim/lion.ts";
import type { Optimizer } from "../../lib/optim/optimizer.ts";
import * as schedule from "../../lib/optim/schedule.ts";
import { sgd } from "../../lib/optim/sgd.ts";
import { dataOf, optimizers, thrown, update, vectors } from "../support/optimizers.ts";
import { testDevice } from "../support/test_device.ts";

let dev: Device;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2, debug: ["guard"] });
});
afterAll(() => dev.close());

describe("learning rate", () => {
  it("a schedule is asked with the updates already done", async () => {
    const lr = schedule.warmupCosine({ peak: 0.1, min: 0.01, warmupSteps: 2, totalSteps: 5 });
    const params = vectors(dev, [[0]]);
    const run = sgd({ lr }).init(params);
    let expected = 0;
    for (let t = 0; t < 6; t++) {
      expect(run.updates).toBe(t);
      expect((await update(dev, run, [[1]])).lr).toBe(lr(t));
      expected -= lr(t);
      expect((await dataOf(params))[0]![0]).toBeCloseTo(expected, 6);
    }
    run.dispose();
    disposeAll(params);
  });

  it("defaults are PyTorch's, lion's its authors'", () => {
    const settings = [adamw(), adam(), sgd(), lion()].map(({ rule }) => [rule.lr, rule.weightDecay]);
    expect(settings).toEqual([
      [1e-3, 0.01],
      [1e-3, 0],
      [1e-3, 0],
      [1e-4, 0],
    ]);
  });

  it("refuses a rate that is no number from 0 up, also one from a schedule", () => {
    for (const lr of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      const params = vectors(dev, [[0]]);
      const grads = vectors(dev, [[1]]);
      expect(thrown(() => adamw({ lr })).key).toBe("lr");
      const run = adamw({ lr: () => lr }).init(params);
      const error = thrown(() => run.step(grads));
      expect(error).toBeInstanceOf(ConfigError);
      expect(error.message).toContain("adamw after 0 updates");
      expect(run.updates).toBe(0);
      run.dispose();
      disposeAll(params, grads);
    }
  });
});

describe("the run", () => {
  it("state is named, zero at the start, and no copy", async () => {
    const params = { a: dev.full([2], 1), b: dev.full([3], 1, "bf16") };
    const names = (optimizer: Optimizer) => {
      using run = optimizer.init(params);
      return Object.keys(run.state()).sort();
    };
    const adams = ["first.a", "first.b", "master.b", "second.a", "second.b"];
    expect(names(adamw())).toEqual(adams);
    expect(names(adam())).toEqual(adams);
    expect(names(sgd())).toEqual(["master.b"]);
    expect(names(sgd({ momentum: 0.9 }))).toEqual(["master.b", "velocity.a", "velocity.b"]);
    expect(names(lion())).toEqual(["master.b", "momentum.a", "momentum.b"]);
    using run = adamw().init(params);
    const { "first.a": first } = run.state();
    expect(await first!.data()).toEqual(new Float32Array(2));
    expect(run.state()["first.a"]).toBe(first);
    disposeAll(params);
  });

  it("bumps the version of every parameter's root", () => {
    const root = dev.full([6], 1);
    const params = { left: root.view([2]), right: root.view([4], 2), own: dev.full([1], 1, "bf16") };
    const run = sgd().init(params);
    const before = [root.version, params.own.version];
    const grads = { left: dev.full([2], 1), right: dev.full([4], 1), own: dev.full([1], 1) };
    run.step(grads).gradNorm.dispose();
    expect(root.version).toBeGreaterThan(before[0]!);
    expect(params.own.version).toBeGreaterThan(before[1]!);
    run.dispose();
    disposeAll(root, params, grads);
  });

  it("leaves nothing behind, and its state outlives the scope it began in", async () => {
    const params = vectors(dev, [[1, 2], [3]]);
    const before = dev.stats().live;
    for (const make of Object.values(optimizers)) {
      const run = scope(() => make().init(params));
      const state = Object.keys(run.state()).length;
      expect(dev.stats().live).toBe(before + state);
      await update(dev, run, [[1, 2], [3]]);
      expect(dev.stats().live).toBe(before + state);
      run.dispose();
      run.dispose();
      expect(dev.stats().live).toBe(before);
      for (const use of [() => run.state(), () => run.step({}), () => run.load({ updates: 0, tensors: {} })])
        expect(thrown(use)).toBeInstanceOf(DisposedError);
    }
    disposeAll(params);
  });

  it("a start that runs out of memory leaves nothing behind", async () => {
    const small = await device(testDevice, { threads: 1, memoryLimitBytes: 10_000 });
    const params = { w: small.full([1000], 1) };
    expect(thrown(() => adamw().init(params)).message).toContain("[1000] f32 takes");
    expect(small.stats().live).toBe(1);
    small.close();
  });

  it("gradients with other names, shapes or formats are refused", () => {
    const params = vectors(dev, [[1, 2], [3]]);
    const run = adamw().init(params);
    const [two, one] = [dev.full([2], 0), dev.full([1], 0)];
    const half = dev.full([1], 0, "bf16");
    const names = thrown(() => run.step({ p0: two, p2: one }));
    expect(names).toBeInstanceOf(ConfigError);
    expect(names.message).toBe(
      "adamw.step: of 2 gradients 1 missing (p1) and 1 unknown (p2), needed exactly those",
    );
    expect(thrown(() => run.step({ p0: two, p1: two }))).toBeInstanceOf(ShapeError);
    expect(thrown(() => run.step({ p0: two, p1: half }))).toBeInstanceOf(DTypeError);
    expect(run.updates).toBe(0);
    run.dispose();
    disposeAll(params, two, one, half);
  });

  it("parameters that can't be trained are refused", async () => {
    const root = dev.full([4], 1);
    const ids = dev.full([2], 1, "i32");
    const parts = [root.view([3]), root.view([2], 2)] as const;
    expect(thrown(() => adamw().init({}))).toBeInstanceOf(ConfigError);
    expect(thrown(() => adamw().init({ ids }))).toBeInstanceOf(DTypeError);
    const shared = thrown(() => adamw().init({ a: parts[0], b: parts[1] }));
    expect(shared).toBeInstanceOf(ConfigError);
    expect(shared.message).toContain("a and b share memory");
    const other = await device(testDevice, { threads: 1 });
    expect(thrown(() => adamw().init({ root, elsewhere: other.full([1], 0) }))).toBeInstanceOf(ConfigError);
    other.close();
    disposeAll(root, ids, parts);
  });

  it.each(Object.keys(optimizers))("%s: same bits on 1 and 2 threads, inline, all finite", async (name) => {
    const results = [];
    for (const options of [{ threads: 2 }, { threads: 1 }, { debug: ["sync", "finite"] as const }]) {
      const on = await device(testDevice, options);
      const random = new Random(3);
      const list = (n: number) => Array.from({ length: n }, () => random.normal());
      const params = vectors(on, [list(40_000), list(31), list(1)]);
      const run = optimizers[name]!().init(params);
      const norms = [];
      for (let i = 0; i < 2; i++) norms.push((await update(on, run, [list(40_000), list(31), list(1)])).norm);
      results.push({ norms, params: await dataOf(params) });
      on.close();
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });
});
