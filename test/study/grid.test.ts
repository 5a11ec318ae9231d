import { expect, test } from "vitest";
import { expandGrid, type MethodOption } from "../../lib/study/grid.ts";
import { pointsOf, settingsOf } from "../../lib/study/settings.ts";

const grid = (methods: unknown[], lr = [1e-3], seeds = [0]) =>
  expandGrid({ methods: methods as MethodOption[], lr, seeds });

test("methods × learning rates × seeds", () => {
  const runs = grid(["full", "lora:4"], [1e-4, 1e-3], [0, 1]);
  expect(runs.map(({ name }) => name)).toEqual([
    "full-lr0.0001-s0",
    "full-lr0.0001-s1",
    "full-lr0.001-s0",
    "full-lr0.001-s1",
    "lora-r4-all-lr0.0001-s0",
    "lora-r4-all-lr0.0001-s1",
    "lora-r4-all-lr0.001-s0",
    "lora-r4-all-lr0.001-s1",
  ]);
  expect(runs[4]!.method).toEqual({ label: "lora-r4-all", name: "lora", rank: 4, targets: "all", alpha: 8 });
});

test("lists of an entry multiply, and its learning rates are its own", () => {
  const runs = grid([
    { method: "full", lr: 1e-5 },
    {
      method: "dora",
      rank: [2, 16],
      targets: ["attention", "q_proj,v_proj"],
      alpha: 4,
      "modules-to-save": ["lm_head"],
    },
  ]);
  expect(runs.map(({ method, lr }) => [method.label, lr])).toEqual([
    ["full", 1e-5],
    ["dora-r2-attention-save-lm_head", 1e-3],
    ["dora-r2-q_proj+v_proj-save-lm_head", 1e-3],
    ["dora-r16-attention-a4-save-lm_head", 1e-3],
    ["dora-r16-q_proj+v_proj-a4-save-lm_head", 1e-3],
  ]);
});

test("a method may have a weight decay of its own", () => {
  const runs = grid([
    { method: "full", "weight-decay": 1 },
    "full",
    { method: "lora", rank: 2, weightDecay: 0 },
  ]);
  expect(runs.map(({ method }) => [method.label, method.weightDecay])).toEqual([
    ["full-wd1", 1],
    ["full", undefined],
    ["lora-r2-all-wd0", 0],
  ]);
  expect(() => grid([{ method: "full", weightDecay: -1 }])).toThrow("weightDecay has -1, numbers from 0");
});

test.each<[string, unknown[], RegExp]>([
  [
    "an unknown key",
    [{ method: "lora", ranks: 4 }],
    /study, methods\[0\]: unknown option "ranks", is it rank\?/,
  ],
  ["an unknown method", ["full", "lorra:4"], /methods\[1\].method: unknown option "lorra", is it lora\?/],
  ["a rank for full", [{ method: "full", rank: 4 }], /methods\[0\] gives rank to full training/],
  [
    "half a rank",
    [{ method: "lora", rank: 1.5 }],
    /methods\[0\].rank has 1.5, whole numbers from 1 were needed/,
  ],
  ["a word too many", ["lora:4:all:x"], /methods\[0\] is "lora:4:all:x"/],
  ["no rank", ["lora:many"], /methods\[0\] is "lora:many"/],
  ["the same run twice", ["lora:8", { method: "lora" }], /the run lora-r8-all-lr0.001-s0 comes twice/],
  ["nothing", [], /methods is empty/],
  ["an alpha of 0", [{ method: "lora", alpha: 0 }], /methods\[0\].alpha has 0, numbers above 0/],
  ["a dropout of 1", [{ method: "lora", dropout: 1 }], /methods\[0\].dropout has 1, numbers from 0, below 1/],
  ["rslora as a word", [{ method: "lora", rslora: "yes" }], /rslora has "yes", true or false/],
  ["targets that are none", [{ method: "lora", targets: [3] }], /targets has \[3\], texts were needed/],
  ["a learning rate of a wrong kind", [{ method: "lora", lr: "fast" }], /lr has "fast", numbers from 0/],
])("%s is refused", (_, methods, message) => {
  expect(() => grid(methods)).toThrow(message);
});

test("a method without a learning rate is refused", () => {
  expect(() => grid(["full"], [])).toThrow("methods[0] has no learning rate");
});

test("points are spread over the steps", () => {
  expect(pointsOf({ steps: 100, points: 4 })).toEqual([25, 50, 75, 100]);
  expect(pointsOf({ steps: 7, points: 3 })).toEqual([2, 5, 7]);
  expect(pointsOf({ steps: 1, points: 1 })).toEqual([1]);
  expect(pointsOf({ steps: 100, points: [50, 5, 20] })).toEqual([5, 20, 50, 100]);
  expect(pointsOf({ steps: 100, points: [100] })).toEqual([100]);
});

test("settings are checked", () => {
  const whole = {
    model: "m",
    data: "d",
    newHeldOut: "n",
    oldHeldOut: "o",
    methods: ["full"],
    steps: 4,
    out: "s",
  };
  expect(settingsOf(whole)).toMatchObject({ points: 4, seeds: [0], parallel: 1, variance: 0.9 });
  expect(() => settingsOf({ ...whole, pionts: 2 } as never)).toThrow(
    'unknown option "pionts", is it points?',
  );
  expect(() => settingsOf({ ...whole, data: undefined } as never)).toThrow("data was needed and not given");
  expect(() => settingsOf({ ...whole, points: 5 })).toThrow("points is 5, at most the 4 steps");
  expect(() => settingsOf({ ...whole, points: [1, 5] })).toThrow("points is 5, at most the 4 steps");
  expect(() => settingsOf({ ...whole, variance: 1.1 })).toThrow("variance is 1.1");
  expect(() => settingsOf({ ...whole, parallel: 0 })).toThrow("parallel is 0, a whole number from 1");
});
