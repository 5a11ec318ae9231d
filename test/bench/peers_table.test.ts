import { expect, test } from "vitest";
import type { Result } from "../../bench/peers/duel.ts";
import { combined, figures, holds } from "../../bench/peers/figures.ts";
import { figureLine, figureTable, ratioTable } from "../../bench/peers/table.ts";

const outcome = {
  ours: { seconds: 0.2, processors: 2 },
  peer: { seconds: 0.1, processors: 1 },
  setting: "fused, 1 thread",
};
const caseOf = (figure: string, value?: number): Result => ({
  figure,
  title: "work",
  dtype: "f32",
  ...(value !== undefined && { value }),
  note: "",
  load: 1,
});
const figureOf = (id: string) => figures.find((figure) => figure.id === id)!;

test("a row says both times, the peer's by ours, and how the peer got there", () => {
  const rows = ratioTable([
    { title: "AdamW", dtype: "f32", figure: "C9.fused", value: 0.5, outcome, note: "", load: 1 },
    { title: "step", dtype: "bf16", note: "eager differs: number 0 is 1 here, 2 there", load: 1 },
  ]).split("\n");
  expect(rows[2]).toBe(
    "| C9.fused | AdamW | f32 | 200 | 100 | **0.500** | 2.0, 1.0 | fused, 1 thread | 1.0 |",
  );
  expect(rows[3]).toBe("|  | step | bf16 |  |  |  |  | eager differs: number 0 is 1 here, 2 there | 1.0 |");
});

test("a figure is its worst case, in its own direction, or the geometric mean", () => {
  expect(combined(figureOf("C1"), [caseOf("C1", 2), caseOf("C1", 1.5), caseOf("C1")])).toBe(1.5);
  expect(combined(figureOf("C7"), [caseOf("C7", 1.01), caseOf("C7", 1.2)])).toBe(1.2);
  expect(combined(figureOf("C2"), [caseOf("C2", 2), caseOf("C2", 8)])).toBeCloseTo(4, 12);
  expect(combined(figureOf("C1"), [caseOf("C1")])).toBeUndefined();
});

test("bounds hold from above or from below", () => {
  expect(holds(figureOf("C1"), 0.95, 0.95)).toBe(true);
  expect(holds(figureOf("C1"), 0.94, 0.95)).toBe(false);
  expect(holds(figureOf("C13"), 0.71, 0.7)).toBe(false);
  const rows = figureTable([caseOf("C13", 0.5), caseOf("C9.foreach", 2.5)]).split("\n");
  expect(rows[2]).toBe("| C9.foreach | AdamW, foreach | 2.50 | ≥ 3, **fails** |  |");
  expect(rows[3]).toBe(
    "| C13 | peak memory of that step ÷ the peer's | 0.500 | ≤ 0.7, holds | ≤ 0.4, **fails** |",
  );
});

test("a figure's line holds its number, its bounds and its cases", () => {
  const line = JSON.parse(figureLine(figureOf("C9.fused"), [caseOf("C9.fused", 1.1)], "a machine")) as object;
  expect(line).toEqual({
    id: "C9.fused",
    value: 1.1,
    gate: 0.95,
    target: 1,
    machine: "a machine",
    cases: [{ title: "work", value: 1.1, note: "", load: 1 }],
  });
  expect(JSON.parse(figureLine(figureOf("C9.foreach"), [], "a machine"))).toMatchObject({
    value: null,
    target: null,
  });
});
