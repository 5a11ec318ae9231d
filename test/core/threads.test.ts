import { setTimeout as pause } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { device } from "../../lib/core/device.ts";
import { DeviceError } from "../../lib/core/errors.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import { add } from "../../lib/ops/add.ts";
import { gatherRows } from "../../lib/ops/gather_rows.ts";
import { rmsNorm } from "../../lib/ops/rms_norm.ts";

const counts = [1, 2, 3, 8];
const devices = await Promise.all(counts.map((threads) => device("cpu", { threads })));
afterAll(() => {
  for (const dev of devices) dev.close();
});

const data = Float32Array.from({ length: 300 * 128 }, (_, i) => Math.sin(i));

test("thousands of small regions, more threads than tasks among them: the same bits on any number of threads", async () => {
  const results: Float32Array[] = [];
  for (const dev of devices) {
    const weight = dev.full([128], 1.01);
    let x = dev.tensor(data, [300, 128]);
    for (let i = 0; i < 3000; i++) {
      const y = rmsNorm(x, weight, { eps: 1e-6 });
      x.dispose();
      x = y;
    }
    results.push((await x.data()) as Float32Array);
    disposeAll(x, weight);
    expect(dev.stats().live).toBe(0);
  }
  for (const result of results) expect(result).toEqual(results[0]);
});

test("regions while the other threads sleep, and empty ones", async () => {
  for (const dev of devices) {
    const x = dev.tensor(data, [300, 128]);
    const none = dev.empty([0, 128]);
    for (let i = 0; i < 60; i++) {
      const sum = add(x, x);
      const nothing = add(none, none);
      const values = await sum.data();
      expect([values[1], values.at(-1)]).toEqual([2 * data[1]!, 2 * data.at(-1)!]);
      disposeAll(sum, nothing);
      if (i % 3 === 0) await pause(1);
    }
    disposeAll(x, none);
  }
});

test("a failure inside of a region is told, and the next region is whole", async () => {
  for (const dev of devices) {
    const table = dev.tensor(data, [300, 128]);
    const ids = Int32Array.from({ length: 4096 }, (_, i) => i % 300);
    const good = dev.tensor(ids, [4096]);
    ids[4000] = 300;
    const bad = dev.tensor(ids, [4096]);
    for (let i = 0; i < 20; i++) {
      const failed = gatherRows(table, bad);
      await expect(failed.data()).rejects.toThrow(DeviceError);
      dev.reset();
      const rows = gatherRows(table, good);
      const values = await rows.data();
      expect(values.at(-1)).toBe(data[(4095 % 300) * 128 + 127]);
      disposeAll(failed, rows);
    }
    disposeAll(table, good, bad);
  }
});

test("devices close before their threads had work, while they look for some, and while they sleep", async () => {
  for (let i = 0; i < 60; i++) {
    const dev = await device("cpu", { threads: 1 + (i % 5) });
    if (i % 3 > 0) {
      const x = dev.tensor(data, [300, 128]);
      add(x, x);
      await dev.ready();
    }
    if (i % 4 === 0) await pause(1);
    dev.close();
  }
});
