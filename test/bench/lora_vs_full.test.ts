import { expect, test } from "vitest";
import { armsTable, findings, kArms } from "../../bench/papers/lora_vs_full/claims.ts";
import { type FakeArm, fakeCost, fakeOutcome } from "../support/adaptation_outcome.ts";

/** As the paper has it. */
const paper: FakeArm[] = [
  { name: "full", lr: 1e-3, learned: 5, forgotten: 3, ranks: [30, 50] },
  { name: "LoRA r 1", lr: 1e-2, learned: 2, forgotten: 0.2 },
  { name: "LoRA r 4", lr: 1e-2, learned: 3, forgotten: 0.5 },
  { name: "LoRA r 16", lr: 1e-2, learned: 4, forgotten: 1 },
  { name: "LoRA r 16, embedding and head", lr: 1e-2, learned: 4, forgotten: 1 },
  { name: "full, weight decay 1", lr: 1e-3, learned: 4.5, forgotten: 2 },
];
const costs = [fakeCost("full", 100, 10), fakeCost("LoRA r 1", 2, 11), fakeCost("LoRA r 16", 30, 12)];

const verdicts = (arms: readonly FakeArm[]): Record<string, string> =>
  Object.fromEntries(findings(fakeOutcome(arms), costs).map(({ claim, holds }) => [claim, holds]));

test("every claim holds where the paper's own picture comes out", () => {
  expect(paper.map(({ name }) => name)).toEqual(kArms.map(({ name }) => name));
  const all = findings(fakeOutcome(paper), costs);
  expect(all.filter(({ holds }) => holds !== "yes")).toEqual([]);
  expect(all).toHaveLength(17);
  expect(armsTable(fakeOutcome(paper))).toContain("| LoRA r 16 | 10 | 0.01 |");
});

test("claims fail where the opposite comes out", () => {
  const names = ["full", "LoRA r 16", "LoRA r 4", "LoRA r 1"];
  const reversed = paper.map((arm) => {
    const at = names.indexOf(arm.name);
    if (at < 0) return arm;
    const other = paper.find(({ name }) => name === names[3 - at])!;
    return { ...other, name: arm.name, lr: 1e-3, ranks: [3, 2] as [number, number] };
  });
  const found = verdicts(reversed);
  expect(found["full learns more than LoRA r 16"]).toBe("no");
  expect(found["LoRA r 4 forgets more than LoRA r 1"]).toBe("no");
  expect(found["the gap in learning between full and LoRA r 16 grows with tokens"]).toBe("no");
  expect(found["LoRA's best learning rate is about ten times that of full training"]).toBe("no");
  expect(found["full training's ΔW needs 10 to 100 times LoRA's rank for 90 % of its variance"]).toBe("no");
  expect(found["its rank is higher in MLPs (experts here) than in attention, as shares of full rank"]).toBe(
    "no",
  );
});
