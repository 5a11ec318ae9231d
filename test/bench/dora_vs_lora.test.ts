import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import {
  driftChart,
  findings,
  kArms,
  kRanks,
  rankChart,
  ranksTable,
} from "../../bench/papers/dora_vs_lora/claims.ts";
import { fakeCost, fakeOutcome } from "../support/adaptation_outcome.ts";
import { tempDir } from "../support/temp_dir.ts";

const rising = (k: number): number => k;
const falling = (k: number): number => 10 - k;

/** As the paper has it: DoRA better, flatter, and its magnitudes against its directions. */
const paper = [
  { name: "full", learned: 6, forgotten: 1, magnitude: falling },
  ...kRanks.flatMap((rank, i) => [
    { name: `LoRA r ${rank}`, learned: 3 + 0.3 * i, forgotten: 1, magnitude: rising },
    { name: `DoRA r ${rank}`, learned: 4.5 + 0.1 * i, forgotten: 1, magnitude: falling },
  ]),
];
const costs = kRanks.flatMap((rank, i) => [
  fakeCost(`LoRA r ${rank}`, rank, 10),
  fakeCost(`DoRA r ${rank}`, rank, 12 + i / 10),
]);

test("every claim holds where the paper's own picture comes out, none where LoRA and DoRA change places", () => {
  expect(paper.map(({ name }) => name)).toEqual(kArms.map(({ name }) => name));
  const outcome = fakeOutcome(paper);
  const all = findings(outcome, costs);
  expect(all.filter(({ holds }) => holds !== "yes")).toEqual([]);
  const turned = (name: string): string =>
    name.startsWith("LoRA") ? name.replace("LoRA", "DoRA") : name.replace("DoRA", "LoRA");
  const other = findings(
    fakeOutcome(paper.map((arm) => ({ ...arm, name: turned(arm.name) }))),
    costs.map((cost) => ({ ...cost, name: turned(cost.name) })),
  );
  expect(other.filter(({ holds }) => holds !== "no").map(({ claim }) => claim)).toEqual([
    "full training: ΔM and ΔD are negatively correlated, over matrices and points",
  ]);
  for (const chart of [rankChart(outcome), driftChart(outcome)]) expect(chart).not.toContain("NaN");
  expect(ranksTable(outcome)).toContain("| rank 16 |");
});

test("Ctrl-C ends the script and says how to go on", { timeout: 120_000 }, async () => {
  const out = path.join(tempDir(), "run");
  const script = path.resolve(import.meta.dirname, "../../bench/papers/dora_vs_lora.ts");
  const child = spawn(process.execPath, ["--import", "tsx", script, "--out", out, "--seeds", "1"], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (part) => {
      text += part;
    });
  const watch = setInterval(() => {
    if (!existsSync(path.join(out, "choice/runs"))) return;
    clearInterval(watch);
    process.kill(-child.pid!, "SIGINT"); // to the whole group, as a terminal does
  }, 100);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  clearInterval(watch);
  expect(text).toContain(`Stopped. The same command goes on: --out ${out}\n`);
  expect(code).toBe(130);
});
