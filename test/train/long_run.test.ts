import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { device } from "../../lib/core/device.ts";
import { pretrain } from "../../lib/train/pretrain.ts";
import { tinyData, tinyMoe, tinyOptimizer } from "../support/tiny_run.ts";

test("10,000 steps leave memory and the event loop alone", { timeout: 300_000 }, async () => {
  using dev = await device("cpu", { threads: 1 }); // the other core serves the event loop that is measured
  const model = tinyMoe(dev);
  await dev.ready();
  const before = dev.stats();
  // What the machine does to an event loop that is as busy, in turns of a millisecond, beside a thread that is busy too: on
  // a crowded machine a timer is late whoever runs.
  const neighbour = new Worker("for (;;);", { eval: true });
  const crowd = monitorEventLoopDelay({ resolution: 1 });
  crowd.enable();
  for (const end = performance.now() + 3000; performance.now() < end; await nextTurn()) {
    const turn = performance.now() + 1;
    while (performance.now() < turn);
  }
  crowd.disable();
  await neighbour.terminate();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  let early = { rss: 0, peak: 0 };
  let count = 0;
  const run = pretrain({
    model,
    data: tinyData(),
    optimizer: tinyOptimizer(1e-4),
    steps: 10_000,
    auxLossCoef: 0.01,
  });
  for await (const m of run) {
    count++;
    expect(m.loss).toBeGreaterThan(0);
    if (m.step === 200) delay.enable();
    if (m.step === 2000) early = { rss: process.memoryUsage().rss, peak: dev.stats().peakBytes };
  }
  delay.disable();
  const after = dev.stats();
  expect(count).toBe(10_000);
  expect({ live: after.live, bytes: after.bytes }).toEqual({ live: before.live, bytes: before.bytes });
  expect(after.peakBytes).toBe(early.peak);
  expect(process.memoryUsage().rss - early.rss, "growth of resident memory").toBeLessThan(64e6);
  const bound = Math.max(10, (3 * crowd.percentile(99)) / 1e6);
  expect(delay.percentile(99) / 1e6, "event loop delay, p99 in ms").toBeLessThan(bound);
  model.dispose();
  expect(dev.stats().live).toBe(0);
});
