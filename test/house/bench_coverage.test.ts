import { readdirSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import type { BenchCase } from "../../bench/workload.ts";

const root = path.resolve(import.meta.dirname, "../..");
const benches = readdirSync(path.join(root, "bench/ops")).sort();

test.each(benches)("bench/ops/%s exports cases with titles of their own", async (file) => {
  expect(file).toMatch(/\.bench\.ts$/);
  const { cases } = (await import(path.join(root, "bench/ops", file))) as { cases: BenchCase[] };
  expect(cases.length).toBeGreaterThan(0);
  expect(new Set(cases.map(({ title }) => title)).size).toBe(cases.length);
});
