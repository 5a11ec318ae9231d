import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { muon } from "../../lib/optim/muon.ts";
import type { Optimizer } from "../../lib/optim/optimizer.ts";
import * as schedule from "../../lib/optim/schedule.ts";
import { sgd } from "../../lib/optim/sgd.ts";
import { expectClose } from "../support/oracle.ts";
import { sharedPath } from "../support/shared_data.ts";
import { testDevice } from "../support/test_device.ts";

// What torch.optim (f32, CPU) and transformers' schedules gave. The fixture's other optimizers, AMSGrad, Adafactor and
// RMSprop, are not in this library.
interface Trace {
  W0: number[][];
  b0: number[];
  X: number[][];
  Y: number[][];
  /** Before each of ten updates: the mean square of tanh(X·Wᵀ + b) − Y. */
  loss: number[];
  /** After them. */
  W: number[][];
  b: number[];
}
const file = sharedPath("data/fixtures/peft-tiny/optim.json");
const { optimizers = {}, "schedules_lr1e-3_warm5_total30": rates = {} } = (
  file ? JSON.parse(readFileSync(file, "utf8")) : {}
) as {
  optimizers?: Record<string, Trace>;
  "schedules_lr1e-3_warm5_total30"?: Record<string, number[]>;
};

let dev: Device;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 1, debug: ["guard"] });
});
afterAll(() => dev.close());

/** The loss in float64, and its gradients. */
function lossOf({ X, Y }: Trace, W: readonly number[], b: readonly number[]) {
  const [outs, ins, size] = [b.length, X[0]!.length, X.length * b.length];
  const [dW, db] = [new Array<number>(W.length).fill(0), new Array<number>(outs).fill(0)];
  let loss = 0;
  for (const [row, x] of X.entries()) {
    for (let o = 0; o < outs; o++) {
      const y = Math.tanh(x.reduce((sum, value, i) => sum + value * W[o * ins + i]!, b[o]!));
      const error = y - Y[row]![o]!;
      loss += error ** 2 / size;
      const slope = (2 * error * (1 - y * y)) / size;
      for (let i = 0; i < ins; i++) dW[o * ins + i]! += slope * x[i]!;
      db[o]! += slope;
    }
  }
  return { loss, dW, db };
}

describe.skipIf(!file)("ten updates as by torch.optim", () => {
  // Settings: those with which a float64 program follows the fixture to its own rounding.
  const cases: [name: string, optimizer: Optimizer, bound: number][] = [
    ["sgd_mom", sgd({ lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 }), 1e-6],
    ["adamw", adamw({ lr: 0.05, betas: [0.9, 0.99], weightDecay: 0.1 }), 2e-6],
    // Its Newton–Schulz steps are in bf16, ours in f32.
    ["muon_W_only", muon({ lr: 0.05, adjustLr: "original", weightDecay: 0.1, adamw: { lr: 0 } }), 4e-3],
  ];
  test.each(cases)("%s", async (name, optimizer, bound) => {
    const trace = optimizers[name]!;
    const shape = [trace.b0.length, trace.X[0]!.length];
    const params = { W: dev.tensor(trace.W0.flat(), shape), b: dev.tensor(trace.b0, [shape[0]!]) };
    const trained = name === "muon_W_only" ? { W: params.W } : params;
    using run = optimizer.init(trained);
    for (const [k, want] of trace.loss.entries()) {
      const [W, b] = [Array.from(await params.W.data()), Array.from(await params.b.data())];
      const { loss, dW, db } = lossOf(trace, W, b);
      expect(Math.abs(loss - want), `loss before update ${k + 1}`).toBeLessThan(bound / 4);
      const grads = { W: dev.tensor(dW, shape), b: dev.tensor(db, [shape[0]!]) };
      run.step(name === "muon_W_only" ? { W: grads.W } : grads).gradNorm.dispose();
      disposeAll(grads);
    }
    expectClose(await params.W.data(), trace.W.flat(), bound, "W");
    expectClose(await params.b.data(), trace.b, bound, "b");
    disposeAll(params);
  });
});

describe.skipIf(!file)("schedules of transformers: peak 1e-3, 5 updates of warm-up, 30 in all", () => {
  const [peak, warmupSteps, totalSteps] = [1e-3, 5, 30];
  const after = (way: schedule.Schedule) =>
    schedule.join([schedule.linear(0, peak, warmupSteps), way], [warmupSteps]);
  const wave = schedule.cosine(peak, 0, 25);
  const ours: Record<string, schedule.Schedule> = {
    linear: after(schedule.linear(peak, 0, 25)),
    cosine: schedule.warmupCosine({ peak, min: 0, warmupSteps, totalSteps }),
    cosine_with_restarts: after((t) => wave((2 * t) % 25)),
    polynomial: after(schedule.polynomial(peak, 1e-7, 25, 1)),
    constant_with_warmup: after(schedule.constant(peak)),
    inverse_sqrt: schedule.inverseSqrt({ peak, warmupSteps, timescale: warmupSteps }),
    warmup_stable_decay: schedule.wsd({
      peak,
      min: 0,
      warmupSteps,
      stableSteps: 19,
      decaySteps: 6,
      decay: "cosine",
    }),
    cosine_with_min_lr: schedule.warmupCosine({ peak, min: 1e-4, warmupSteps, totalSteps }),
  };
  test("all of them are here", () => expect(Object.keys(ours).sort()).toEqual(Object.keys(rates).sort()));
  test.each(Object.keys(ours))("%s, to 1e-9 of the peak", (name) => {
    expect(rates[name]).toHaveLength(totalSteps);
    for (const [t, want] of rates[name]!.entries())
      expect(Math.abs(ours[name]!(t) - want), `update ${t}`).toBeLessThan(1e-9 * peak);
  });
});
