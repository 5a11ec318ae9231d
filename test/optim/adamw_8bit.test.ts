import { afterAll, beforeAll, expect, it } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { Random } from "../../lib/core/random.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { type AdamOptions, adam, adamw } from "../../lib/optim/adamw.ts";
import { thrown } from "../support/optimizers.ts";
import { testDevice } from "../support/test_device.ts";

let dev: Device;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 2, debug: ["guard"] });
});
afterAll(() => dev.close());

const normals = (random: Random, n: number): Float32Array =>
  Float32Array.from({ length: n }, () => random.normal());

/** Root of the mean square of a − b. */
const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return Math.sqrt(sum / a.length);
};

it("small parameters keep f32, and are updated as by adamw itself", async () => {
  const shapes = { norm: [4095], weight: [64, 64] };
  const params = { norm: dev.full(shapes.norm, 1), weight: dev.full(shapes.weight, 1, "bf16") };
  const grads = { norm: dev.full(shapes.norm, 0.5), weight: dev.full(shapes.weight, 0.5) };
  const run = adamw({ lr: 0.1, states: "8bit" }).init(params);
  const state = Object.entries(run.state()).map(([name, { shape, dtype }]) => [name, ...shape, dtype]);
  expect(state).toEqual([
    ["first.norm", 4095, "f32"],
    ["second.norm", 4095, "f32"],
    ["first.weight", 1024, "i32"],
    ["firstScale.weight", 16, "f32"],
    ["second.weight", 1024, "i32"],
    ["secondScale.weight", 16, "f32"],
    ["master.weight", 64, 64, "f32"],
  ]);
  const full = { norm: dev.full(shapes.norm, 1) };
  const other = adamw({ lr: 0.1 }).init(full);
  for (let i = 0; i < 3; i++) {
    run.step(grads).gradNorm.dispose();
    other.step({ norm: grads.norm }).gradNorm.dispose();
  }
  expect(await params.norm.data()).toEqual(await full.norm.data());
  run.dispose();
  other.dispose();
  disposeAll(params, grads, full);
});

// Over 100 updates under noise of the size of the slope. Measured: 1.5, 7 and 1.4 %; each step alone is held to
// float64 by test/ops/adamw_8bit.test.ts.
it.each([
  ["adamw, gradients of one size", 1, 0.025, { weightDecay: 0.1 }],
  ["adamw, gradients in a block 1 : 10 : 100", 0.1, 0.1, { weightDecay: 0.1 }],
  ["adam, gradients of one size", 1, 0.025, { betas: [0.9, 0.95] as const }],
])("%s: the way that is gone is float64's", async (name, ratio, bound, options: AdamOptions) => {
  const make = name.startsWith("adamw") ? adamw : adam;
  const [rows, cols, steps, lr] = [40, 256, 100, 0.01];
  const size = rows * cols;
  const { betas: [beta1, beta2] = [0.9, 0.999], weightDecay = 0 } = options;
  const random = new Random(8);
  const start = normals(random, size);
  const params = { w: dev.tensor(start, [rows, cols]) };
  const run = make({ lr, states: "8bit", ...options }).init(params);
  const p = Float64Array.from(start);
  const [m, v] = [new Float64Array(size), new Float64Array(size)];
  for (let t = 1; t <= steps; t++) {
    const noise = normals(random, size);
    const now = await params.w.data(); // the same gradients for both: the error of a step, not that of a chaotic path
    const g = Float32Array.from(now, (x, i) => ratio ** (i % 3) * (x + noise[i]!));
    const grads = { w: dev.tensor(g, [rows, cols]) };
    run.step(grads).gradNorm.dispose();
    disposeAll(grads);
    for (let i = 0; i < size; i++) {
      const gi = g[i]! + (make === adam ? weightDecay * p[i]! : 0);
      m[i] = beta1 * m[i]! + (1 - beta1) * gi;
      v[i] = beta2 * v[i]! + (1 - beta2) * gi * gi;
      const step = m[i]! / (1 - beta1 ** t) / (Math.sqrt(v[i]! / (1 - beta2 ** t)) + 1e-8);
      p[i] = p[i]! - lr * ((make === adamw ? weightDecay * p[i]! : 0) + step);
    }
  }
  const error = distance(await params.w.data(), p) / distance(p, start);
  expect(error).toBeLessThan(bound);
  run.dispose();
  disposeAll(params);
});

it("an element whose gradients vanish beside its neighbours' doesn't run away", async () => {
  const params = { w: dev.full([4096], 0) };
  const grads = [1, 1e-5, 0].map((small) => ({
    w: dev.tensor(
      Float32Array.from({ length: 4096 }, (_, i) => (i % 2 === 0 ? 1 : small)),
      [4096],
    ),
  }));
  const run = adamw({ lr: 0.01, weightDecay: 0, states: "8bit" }).init(params);
  const steps = 20;
  for (let i = 0; i < steps; i++) run.step(i % 2 === 0 ? grads[1]! : grads[2]!).gradNorm.dispose();
  for (const w of await params.w.data()) expect(Math.abs(w)).toBeLessThan(0.01 * steps * 1.1);
  run.dispose();
  disposeAll(params, grads);
});

it("another format is refused", () => {
  expect(thrown(() => adamw({ states: "4bit" as never })).key).toBe("states");
});
