import { expect, test } from "vitest";
import { device } from "../../lib/core/device.ts";
import { expandGrid } from "../../lib/study/grid.ts";
import { MemoryShare, runMemory } from "../../lib/study/run_memory.ts";

const [full, small, large] = expandGrid({ methods: ["full", "lora:4", "lora:64"], lr: [1e-3], seeds: [0] });

test("nothing runs beside the first until that has said what it takes", () => {
  const share = new MemoryShare();
  expect(share.admits(small!, [])).toBe(true);
  expect(share.admits(large!, [small!])).toBe(false);
  expect(share.isKnown).toBe(false);
  share.learn(small!, { peak: 100, peakOfFull: 400, total: 450 });
  expect(share.isKnown).toBe(true);
  expect(share.admits(large!, [small!])).toBe(true);
});

test("a run counts as its method took, else as the most that any took, a full one with all its gradients", () => {
  const share = new MemoryShare();
  share.learn(small!, { peak: 100, peakOfFull: 400, total: 499 });
  expect(share.admits(full!, [small!])).toBe(false);
  expect(share.reason(full!)).toBe("full-lr0.001-s0 takes about 0 MB, all runs together may take 0 MB");
  share.learn(full!, { peak: 300, peakOfFull: 300, total: 9999 }); // the first one's total holds
  expect(share.admits(full!, [small!])).toBe(true);
  expect(share.admits(large!, [small!])).toBe(true);
  expect(share.admits(large!, [small!, small!])).toBe(false);
  share.learn(large!, { peak: 120, peakOfFull: 400, total: 0 });
  expect(share.admits(large!, [small!, small!])).toBe(true);
  share.learn(small!, { peak: 90, peakOfFull: 390, total: 0 }); // less is no news
  expect(share.admits(large!, [small!, small!, small!])).toBe(true);
  expect(share.admits(small!, [small!, small!, small!, small!])).toBe(false);
});

test("a total that is given wins, and a run alone starts whatever it takes", () => {
  const share = new MemoryShare(10);
  share.learn(small!, { peak: 100, peakOfFull: 400, total: 1e9 });
  expect(share.admits(small!, [small!])).toBe(false);
  expect(share.admits(full!, [])).toBe(true);
});

test("what a process takes is the machine's memory, and training all weights takes gradients and means besides", async () => {
  using dev = await device("cpu", { threads: 1 });
  using tensor = dev.full([1 << 22], 1);
  await tensor.data();
  const { peak, peakOfFull, total } = runMemory(dev, 1000, "f32");
  expect(peak).toBeGreaterThan(tensor.bytes);
  expect(peakOfFull).toBe(peak + 12_000);
  expect(total).toBeGreaterThan(tensor.bytes);
  expect(runMemory(dev, 1000, "bf16").peakOfFull).toBeGreaterThanOrEqual(peak + 16_000);
});
