import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError } from "../../lib/core/errors.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { chain } from "../../lib/optim/chain.ts";
import { clipByGlobalNorm } from "../../lib/optim/clip.ts";
import { lion } from "../../lib/optim/lion.ts";
import type { Optimizer } from "../../lib/optim/optimizer.ts";
import { sgd } from "../../lib/optim/sgd.ts";
import { relativeError } from "../support/check_op.ts";
import { dataOf, optimizers, thrown, update, vectors } from "../support/optimizers.ts";
import { testDevice } from "../support/test_device.ts";

let dev: Device;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2, debug: ["guard"] });
});
afterAll(() => dev.close());

describe("clipByGlobalNorm", () => {
  it("scales all gradients by one factor and leaves them as they are", async () => {
    const params = vectors(dev, [[0, 0], [0]]);
    const grads = vectors(dev, [[3, 0], [4]]);
    const run = chain(clipByGlobalNorm(1), sgd({ lr: 1 })).init(params);
    const { gradNorm } = run.step(grads);
    expect(await gradNorm.item()).toBe(5);
    const scale = 1 / (5 + 1e-6);
    expect(relativeError((await dataOf(params)).flat(), [-3 * scale, 0, -4 * scale])).toBeLessThan(1e-6);
    expect(await dataOf(grads)).toEqual([[3, 0], [4]]);
    run.dispose();
    disposeAll(params, grads, gradNorm);
  });

  it("of several clips the smallest norm holds, in nested chains too", async () => {
    const params = vectors(dev, [[0]]);
    const inner = chain(clipByGlobalNorm(0.5), sgd({ lr: 1 }));
    const run = chain(clipByGlobalNorm(2), clipByGlobalNorm(1), inner).init(params);
    await update(dev, run, [[10]]);
    expect((await dataOf(params))[0]![0]).toBeCloseTo(-0.5, 6);
    run.dispose();
    disposeAll(params);
  });

  it.each(Object.keys(optimizers))(
    "%s: a NaN among the gradients stops it before a parameter changes",
    async (name) => {
      const params = vectors(dev, [[1, 2], [3]]);
      const run = optimizers[name]!().init(params);
      await expect(update(dev, run, [[0.5, Number.NaN], [1]])).rejects.toThrow(/gradient norm.*nan/);
      dev.reset();
      expect(await dataOf(params)).toEqual([[1, 2], [3]]);
      run.dispose();
      disposeAll(params);
    },
  );

  it("refuses a norm that is no positive number", () => {
    for (const maxNorm of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(thrown(() => clipByGlobalNorm(maxNorm))).toBeInstanceOf(ConfigError);
    }
  });
});

describe("chain", () => {
  const refused = (...parts: unknown[]) => {
    const error = thrown(() => (chain as (...parts: unknown[]) => Optimizer)(...parts));
    expect(error).toBeInstanceOf(ConfigError);
    return error.message;
  };
  it("refuses parts in another order, no optimizer, or two", () => {
    expect(refused(adamw(), clipByGlobalNorm(1))).toContain("[optimizer, clipByGlobalNorm]");
    expect(refused(clipByGlobalNorm(1))).toContain("[clipByGlobalNorm]");
    expect(refused()).toContain("[]");
    expect(refused(adamw(), lion())).toContain("[optimizer, optimizer]");
    expect(refused(clipByGlobalNorm(1), adamw)).toContain("[clipByGlobalNorm, function]");
  });
});
