import { expect, test } from "vitest";
import { growthOf } from "../../bench/peers/memory.ts";

const mebi = 2 ** 20;

test("growth is what a process holds at most while it works", async () => {
  const grown = await growthOf(async () => {
    Buffer.alloc(64 * mebi, 1);
  });
  expect(grown).toBeGreaterThan(60 * mebi);
  expect(grown).toBeLessThan(100 * mebi);
});
