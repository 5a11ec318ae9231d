import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { ConfigError, DTypeError, ShapeError } from "../../lib/core/errors.ts";
import { Random } from "../../lib/core/random.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import type { OptimizerRun } from "../../lib/optim/optimizer_run.ts";
import { optimizers, type Tensors, thrown, update, vectors } from "../support/optimizers.ts";
import { testDevice } from "../support/test_device.ts";

let dev: Device;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2, debug: ["guard"] });
});
afterAll(() => dev.close());

describe("save and load", () => {
  const shapes: Record<string, [number[], "f32" | "bf16"]> = {
    w: [[5, 7], "f32"],
    half: [[33], "bf16"],
    empty: [[0, 4], "f32"],
    large: [[67, 63], "f32"],
  };
  const init = (random: Random): Tensors =>
    Object.fromEntries(
      Object.entries(shapes).map(([key, [shape, dtype]]) => {
        const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal());
        return [key, dev.tensor(values, shape, { dtype })];
      }),
    );
  const walk = (run: OptimizerRun, from: number, to: number) => {
    for (let i = from; i < to; i++) {
      const random = new Random(100 + i);
      const grads = Object.fromEntries(
        Object.entries(shapes).map(([key, [shape]]) => {
          const size = shape.reduce((a, b) => a * b, 1);
          return [
            key,
            dev.tensor(
              Float32Array.from({ length: size }, () => random.normal()),
              shape,
            ),
          ];
        }),
      );
      run.step(grads).gradNorm.dispose();
      disposeAll(grads);
    }
  };
  const bytes = async (tensors: Tensors) =>
    Object.fromEntries(
      await Promise.all(Object.entries(tensors).map(async ([key, t]) => [key, await t.bytesData()] as const)),
    );

  it.each(Object.keys(optimizers))("%s: a resumed run gives the same bits", async (name) => {
    const make = optimizers[name]!;
    const straight = init(new Random(1));
    const one = make().init(straight);
    walk(one, 0, 3);
    const halfway = await bytes(straight);
    const saved: Record<string, Float32Array | Int32Array> = {};
    for (const [key, tensor] of Object.entries(one.state())) saved[key] = await tensor.data();
    const resumed = init(new Random(2));
    const copied = init(new Random(3));
    const two = make().init(resumed);
    const three = make().init(copied);
    for (const params of [resumed, copied])
      for (const [key, p] of Object.entries(params)) p.write(halfway[key]!, p.dtype);
    two.load({ updates: one.updates, tensors: saved });
    three.load({ updates: one.updates, tensors: one.state() });
    for (const run of [one, two, three]) {
      walk(run, 3, 6);
      expect(run.updates).toBe(6);
    }
    const want = await bytes(straight);
    expect(await bytes(resumed)).toEqual(want);
    expect(await bytes(copied)).toEqual(want);
    expect(await bytes(two.state())).toEqual(await bytes(one.state()));
    for (const run of [one, two, three]) run.dispose();
    disposeAll(straight, resumed, copied);
  });

  it("a state that doesn't fit is refused and changes nothing", async () => {
    const params = vectors(dev, [[1, 2], [3]]);
    const run = adamw().init(params);
    await update(dev, run, [[1, 1], [1]]);
    const before = await bytes(run.state());
    const good: Record<string, Tensor | Float32Array> = run.state();
    const attempt = (updates: number, tensors: Record<string, Tensor | Float32Array>) =>
      thrown(() => run.load({ updates, tensors }));
    expect(attempt(-1, good).key).toBe("updates");
    expect(attempt(1.5, good).key).toBe("updates");
    const { "second.p1": _, ...fewer } = good;
    const names = attempt(1, { ...fewer, "third.p0": new Float32Array(2) });
    expect(names).toBeInstanceOf(ConfigError);
    expect(names.message).toContain("1 missing (second.p1) and 1 unknown (third.p0)");
    const size = attempt(7, { ...good, "first.p0": new Float32Array(2), "second.p1": new Float32Array(4) });
    expect(size).toBeInstanceOf(ShapeError);
    expect(size.message).toContain("second.p1 has 4 numbers, 1 were needed");
    const half = dev.full([1], 0, "bf16");
    expect(attempt(7, { ...good, "first.p1": half })).toBeInstanceOf(DTypeError);
    const whole = attempt(7, { ...good, "first.p1": new Int32Array(1) } as never);
    expect(whole).toBeInstanceOf(DTypeError);
    expect(whole.message).toContain("first.p1 is i32, f32 was needed");
    expect(await bytes(run.state())).toEqual(before);
    expect(run.updates).toBe(1);
    run.dispose();
    disposeAll(params, half);
  });
});
