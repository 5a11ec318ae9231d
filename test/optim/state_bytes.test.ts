import { afterAll, beforeAll, expect, test } from "vitest";
import { type Device, device } from "../../lib/core/device.ts";
import { adamw } from "../../lib/optim/adamw.ts";
import { lion } from "../../lib/optim/lion.ts";
import { muon } from "../../lib/optim/muon.ts";
import type { Optimizer } from "../../lib/optim/optimizer.ts";
import { testDevice } from "../support/test_device.ts";

let dev: Device;
beforeAll(async () => {
  dev = await device(testDevice, { threads: 1 });
});
afterAll(() => dev.close());

/** Bytes of tensors that init makes for a bf16 parameter, by the device's own count, a number of it. */
function stateBytes(optimizer: Optimizer): number {
  using weight = dev.full([512, 512], 0, "bf16");
  const before = dev.stats().bytes;
  using run = optimizer.init({ weight });
  expect(Object.keys(run.state()).length).toBeGreaterThan(0);
  return (dev.stats().bytes - before) / weight.size;
}

// Appendix of Biderman et al. 2024 (arXiv 2405.09673): a model of 7 billion bf16 weights, all trained, or an adapter of 1 % of
// them. They count a gradient as 2 bytes; ours are f32, which is 2 bytes more for each number that trains.
test.each([
  ["adamw", adamw(), 112, 15.12],
  ["lion", lion(), 84, 14.84],
] as const)(
  "%s: the paper's bytes for 7 billion weights, from measured state",
  (_, optimizer, full, lora) => {
    const perTrained = 2 + 2 + stateBytes(optimizer);
    expect(7 * perTrained).toBeCloseTo(full, 9);
    expect(7 * 2 + 0.07 * perTrained).toBeCloseTo(lora, 9);
  },
);

test("Lion and Muon keep one mean of a matrix: 4 bytes a parameter, beside the f32 master of a bf16 weight", () => {
  const master = 4;
  expect(stateBytes(lion()) - master).toBe(4);
  expect(stateBytes(muon()) - master).toBe(4);
});

test("8 bits take a quarter of AdamW's two means and a scale for each 256", () => {
  const master = 4;
  expect(stateBytes(adamw({ states: "8bit" })) - master).toBe(2 + 8 / 256);
});
