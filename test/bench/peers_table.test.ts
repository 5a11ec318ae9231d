import { expect, test } from "vitest";
import { ratioTable } from "../../bench/peers/table.ts";

test("a row says both times, the peer's by ours, and how the peer got there", () => {
  const outcome = {
    ours: { seconds: 0.2, processors: 2 },
    peer: { seconds: 0.1, processors: 1 },
    setting: "fused, 1 thread",
  };
  const rows = ratioTable([
    { title: "AdamW", dtype: "f32", outcome, note: "", load: 1 },
    { title: "step", dtype: "bf16", note: "eager differs: number 0 is 1 here, 2 there", load: 1 },
  ]).split("\n");
  expect(rows[2]).toBe("| AdamW | f32 | 200 | 100 | **0.50** | 2.0, 1.0 | fused, 1 thread | 1.0 |");
  expect(rows[3]).toBe("| step | bf16 |  |  |  |  | eager differs: number 0 is 1 here, 2 there | 1.0 |");
});
