import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../lib/core/errors.ts";
import * as schedule from "../../lib/optim/schedule.ts";

/** Hand values are written with seven digits. */
function expectNear(actual: number, wanted: number, relative = 1e-6) {
  expect(Math.abs(actual - wanted)).toBeLessThanOrEqual(relative * Math.abs(wanted));
}

function configError(make: () => unknown): ConfigError {
  try {
    make();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return error as ConfigError;
  }
  throw new Error("nothing was thrown");
}

const infinitePaper = {
  peak: 3e-4,
  constant: 1.65e-4,
  min: 3e-5,
  warmupSteps: 10,
  cooldownSteps: 40,
  constantSteps: 60,
  annealSteps: 20,
  alpha: 10,
};

describe("golden tables (float64, rounded to 12 digits)", () => {
  interface Params extends Record<string, unknown> {
    peak: number;
    low: number;
    w: number;
    total: number;
    stable: number;
    decay: number;
    kind: string;
    timescale: number;
    stages: { steps: number; warmup: number; peak: number; low: number }[];
  }
  interface Table {
    name: string;
    params: Params;
    lr: number[];
  }
  const cosine = (p: Params) =>
    schedule.warmupCosine({ peak: p.peak, min: p.low, warmupSteps: p.w, totalSteps: p.total });
  const wsd = (decay: "linear" | "cosine" | "oneMinusSqrt") => (p: Params) =>
    schedule.wsd({
      peak: p.peak,
      min: p.low,
      warmupSteps: p.w,
      stableSteps: p.stable,
      decaySteps: p.decay,
      decay,
    });
  const inverseSqrt = (p: Params) =>
    schedule.inverseSqrt({ peak: p.peak, warmupSteps: p.w, timescale: p.timescale });
  const build: Record<string, (p: Params) => schedule.Schedule> = {
    linear_warmup_cosine_to_min: cosine,
    cosine_no_warmup_to_zero: cosine,
    wsd_linear: wsd("linear"),
    wsd_cosine: wsd("cosine"),
    "wsd_1-sqrt": wsd("oneMinusSqrt"),
    inverse_sqrt: inverseSqrt,
    inverse_sqrt_timescale64: inverseSqrt,
    infinite_cosine: () => schedule.infinite({ ...infinitePaper, cooldown: "cosine" }),
    infinite_inv_sqrt: () => schedule.infinite({ ...infinitePaper, cooldown: "inverseSqrt" }),
    rewarm_redecay_two_stages: (p) =>
      schedule.rewarm(
        p.stages.map((s) => ({ peak: s.peak, min: s.low, warmupSteps: s.warmup, steps: s.steps })),
      ),
  };
  const file = new URL("../golden/schedules.json", import.meta.url);
  const { tables } = JSON.parse(readFileSync(file, "utf8")) as { tables: Table[] };

  it("are all covered", () => {
    expect(tables.map((table) => table.name).sort()).toEqual(Object.keys(build).sort());
  });

  it.each(tables)("$name", ({ name, params, lr }) => {
    const of = build[name]!(params);
    lr.forEach((wanted, t) => {
      expectNear(Number(of(t).toPrecision(12)), wanted, 1e-12);
    });
  });
});

describe("hand values", () => {
  it("S1: warm-up of 10, then a cosine to a tenth", () => {
    const of = schedule.warmupCosine({ peak: 3e-4, min: 3e-5, warmupSteps: 10, totalSteps: 1000 });
    expect(of(0)).toBe(0);
    expectNear(of(5), 1.5e-4, 1e-12);
    expectNear(of(10), 3e-4, 1e-12);
    expectNear(of(505), 1.65e-4, 1e-12);
    expect(of(1000)).toBe(3e-5);
    expect(of(5000)).toBe(3e-5);
  });

  it("S2: infinite, inverse square root and cosine cooldown, exponential anneal", () => {
    const phases = {
      ...infinitePaper,
      warmupSteps: 0,
      cooldownSteps: 100,
      constantSteps: 50,
      annealSteps: 100,
    };
    const root = schedule.infinite({ ...phases, cooldown: "inverseSqrt" });
    expectNear(root(25), 2.100351e-4);
    expectNear(root(50), 1.856295e-4);
    expectNear(root(100), 1.65e-4, 1e-12);
    const wave = schedule.infinite({ ...phases, cooldown: "cosine" });
    expectNear(wave(25), 2.802297e-4);
    expectNear(wave(50), 2.325e-4, 1e-12);
    for (const of of [root, wave]) {
      expectNear(of(200), 7.035624e-5);
      expectNear(of(200), Math.sqrt(1.65e-4 * 3e-5), 1e-12);
      expect(of(250)).toBe(3e-5);
    }
  });

  it("constant, linear, cosine: start, middle, end and after", () => {
    expect([0, 7, 1e9].map(schedule.constant(2e-5))).toEqual([2e-5, 2e-5, 2e-5]);
    expect([0, 1, 2, 4, 9].map(schedule.linear(1, 3, 4))).toEqual([1, 1.5, 2, 3, 3]);
    const wave = schedule.cosine(4, 2, 8);
    expect([0, 4, 8, 9].map((t) => Math.round(wave(t) * 1e12) / 1e12)).toEqual([4, 3, 2, 2]);
  });

  it("oneMinusSqrt, polynomial, exponential: start, middle, end and after", () => {
    const of = [
      schedule.oneMinusSqrt(5, 1, 16),
      schedule.polynomial(5, 1, 16, 2),
      schedule.polynomial(5, 1, 16, 1),
      schedule.exponential(8, 2, 16),
    ];
    const got = [0, 4, 8, 16, 17].map((t) => of.map((lr) => Math.round(lr(t) * 1e12) / 1e12));
    expect(got[0]).toEqual([5, 5, 5, 8]);
    expect(got[1]).toEqual([3, 3.25, 4, 5.656854249492]);
    expect(got[2]).toEqual([2.171572875254, 2, 3, 4]);
    expect(got.slice(3)).toEqual([
      [1, 1, 1, 2],
      [1, 1, 1, 2],
    ]);
    for (let t = 0; t < 20; t++) expect(of[2]!(t)).toBeCloseTo(schedule.linear(5, 1, 16)(t), 14);
  });

  it("trapezoid ends at its total", () => {
    const of = schedule.trapezoid({ peak: 4, min: 1, warmupSteps: 4, decaySteps: 6, totalSteps: 20 });
    expect([0, 2, 4, 13, 14, 16, 20, 21].map(of)).toEqual([0, 2, 4, 4, 4, 3, 1, 1]);
  });

  it("cooldown leaves a schedule from where it is", () => {
    const root = schedule.inverseSqrt({ peak: 3, warmupSteps: 10, timescale: 10 });
    const of = schedule.cooldown(root, { steps: 90, min: 0, decaySteps: 10, decay: "linear" });
    for (let t = 0; t < 90; t++) expect(of(t)).toBe(root(t));
    expect([90, 95, 100, 200].map(of)).toEqual([1, 0.5, 0, 0]);
    const none = schedule.cooldown(root, { steps: 90, min: 0.25, decaySteps: 0, decay: "oneMinusSqrt" });
    expect(none(90)).toBe(0.25);
  });

  it("join counts from 0 in every part", () => {
    const of = schedule.join(
      [schedule.linear(0, 1, 2), schedule.constant(5), schedule.linear(10, 20, 10)],
      [2, 4],
    );
    expect([0, 1, 2, 3, 4, 5, 14, 99].map(of)).toEqual([0, 0.5, 5, 5, 10, 11, 20, 20]);
    expect(schedule.join([schedule.constant(3)], [])(8)).toBe(3);
  });

  it("the infinite schedule stays at its constant when the constant phase has no end", () => {
    const of = schedule.infinite({
      ...infinitePaper,
      cooldown: "cosine",
      constantSteps: Number.POSITIVE_INFINITY,
    });
    expect(of(1e12)).toBe(1.65e-4);
  });
});

describe("properties", () => {
  const all: [string, schedule.Schedule, number][] = [
    ["warmupCosine", schedule.warmupCosine({ peak: 1, min: 0.1, warmupSteps: 1000, totalSteps: 9000 }), 1e4],
    ["inverseSqrt", schedule.inverseSqrt({ peak: 1, warmupSteps: 1000, timescale: 300 }), 1e4],
    ...(["linear", "cosine"] as const).map((decay): [string, schedule.Schedule, number] => [
      `wsd ${decay}`,
      schedule.wsd({ peak: 1, min: 0.1, warmupSteps: 1000, stableSteps: 2000, decaySteps: 3000, decay }),
      1e4,
    ]),
    [
      "trapezoid",
      schedule.trapezoid({ peak: 1, min: 0.1, warmupSteps: 1000, decaySteps: 2000, totalSteps: 9000 }),
      1e4,
    ],
    [
      "cooldown",
      schedule.cooldown(schedule.inverseSqrt({ peak: 1, warmupSteps: 1000, timescale: 1000 }), {
        steps: 7000,
        min: 0,
        decaySteps: 2000,
        decay: "cosine",
      }),
      1e4,
    ],
    ["polynomial", schedule.polynomial(1, 0.1, 8000, 3), 1e4],
    ["exponential", schedule.exponential(1, 0.01, 8000), 1e4],
    ...(["cosine", "inverseSqrt"] as const).map((cooldown): [string, schedule.Schedule, number] => [
      `infinite ${cooldown}`,
      schedule.infinite({
        peak: 1,
        constant: 0.5,
        min: 0.1,
        warmupSteps: 1000,
        cooldownSteps: 4000,
        constantSteps: 1000,
        annealSteps: 2000,
        cooldown,
      }),
      1e4,
    ]),
    [
      "rewarm",
      schedule.rewarm([
        { peak: 1, min: 0.1, warmupSteps: 1000, steps: 4000 },
        { peak: 0.5, min: 0.05, warmupSteps: 1000, steps: 4000 },
      ]),
      1e4,
    ],
  ];

  it.each(all)("%s has no jump at a joint", (_, of, end) => {
    for (let t = 0; t < end; t++) expect(Math.abs(of(t + 1) - of(t))).toBeLessThan(0.002);
  });

  it("S3: a warm-up of 0 starts at the peak, and no phase of 0 updates divides by 0", () => {
    const peak = 1e-3;
    const min = 1e-4;
    expectNear(schedule.warmupCosine({ peak, min, warmupSteps: 0, totalSteps: 9 })(0), peak, 1e-12);
    expect(schedule.inverseSqrt({ peak, warmupSteps: 0, timescale: 4 })(0)).toBe(peak);
    const none = { warmupSteps: 0, stableSteps: 0, decaySteps: 0 };
    for (const decay of ["linear", "cosine", "oneMinusSqrt"] as const) {
      expect(schedule.wsd({ peak, min, ...none, decay })(0)).toBe(min);
    }
    for (const cooldown of ["cosine", "inverseSqrt"] as const) {
      const steps = { warmupSteps: 0, cooldownSteps: 0, constantSteps: 3, annealSteps: 0 };
      const of = schedule.infinite({ peak, constant: 5e-4, min, ...steps, cooldown });
      expect([0, 2, 3].map(of)).toEqual([5e-4, 5e-4, min]);
    }
    expectNear(schedule.rewarm([{ peak, min, warmupSteps: 0, steps: 5 }])(0), peak, 1e-12);
    expect(schedule.linear(1, 2, 0)(0)).toBe(2);
    expect(schedule.cosine(1, 2, 0)(0)).toBe(2);
    expect(schedule.oneMinusSqrt(1, 2, 0)(0)).toBe(2);
    expect(schedule.polynomial(1, 2, 0, 2)(0)).toBe(2);
    expect(schedule.exponential(1, 2, 0)(0)).toBe(2);
    const short = { peak, min, warmupSteps: 0, decaySteps: 0, totalSteps: 0 };
    expect(schedule.trapezoid(short)(0)).toBe(min);
  });
});

describe("refusals name the setting and the number", () => {
  const cosine = { peak: 3e-4, min: 3e-5, warmupSteps: 10, totalSteps: 100 };
  const wsd = { peak: 1, min: 0, warmupSteps: 1, stableSteps: 1, decaySteps: 1, decay: "linear" } as const;
  const infinite = { ...infinitePaper, cooldown: "cosine" } as const;
  const trapezoid = { peak: 1, min: 0, warmupSteps: 4, decaySteps: 8, totalSteps: 11 };
  const stage = { peak: 1, min: 0, warmupSteps: 1, steps: 5 };
  const of = schedule.constant(1);
  const cases: [string, string, () => unknown][] = [
    ["lr is -1", "lr", () => schedule.constant(-1)],
    ["lr is NaN", "lr", () => schedule.constant(Number.NaN)],
    ["to is Infinity", "to", () => schedule.linear(0, Number.POSITIVE_INFINITY, 5)],
    ["steps is -5", "steps", () => schedule.linear(0, 1, -5)],
    ["steps is 2.5", "steps", () => schedule.cosine(0, 1, 2.5)],
    ["power is 0", "power", () => schedule.polynomial(1, 0, 5, 0)],
    ["to is 0", "to", () => schedule.exponential(1, 0, 5)],
    ["steps is 0.5", "steps", () => schedule.oneMinusSqrt(1, 0, 0.5)],
    ["warmupSteps + decaySteps is 12", "warmupSteps + decaySteps", () => schedule.trapezoid(trapezoid)],
    ["min is 1", "min", () => schedule.cooldown(of, { steps: 1, min: 1.5, decaySteps: 1, decay: "linear" })],
    [
      'decay is "no"',
      "decay",
      () => schedule.cooldown(of, { steps: 1, min: 0, decaySteps: 1, decay: "no" as never }),
    ],
    ["2 boundaries", "boundaries", () => schedule.join([of, of], [1, 2])],
    ["0 boundaries", "boundaries", () => schedule.join([], [])],
    ["boundaries[1] is 4", "boundaries", () => schedule.join([of, of, of], [4, 4])],
    ["boundaries[0] is -1", "boundaries[0]", () => schedule.join([of, of], [-1])],
    ["min is 0.001", "min", () => schedule.warmupCosine({ ...cosine, min: 1e-3 })],
    ["warmupSteps is 101", "warmupSteps", () => schedule.warmupCosine({ ...cosine, warmupSteps: 101 })],
    ["min is undefined", "min", () => schedule.warmupCosine({ ...cosine, min: undefined as never })],
    ["timescale is 0", "timescale", () => schedule.inverseSqrt({ peak: 1, warmupSteps: 1, timescale: 0 })],
    ['decay is "exp"', "decay", () => schedule.wsd({ ...wsd, decay: "exp" as never })],
    ["stableSteps is -1", "stableSteps", () => schedule.wsd({ ...wsd, stableSteps: -1 })],
    ["min is 2", "min", () => schedule.wsd({ ...wsd, min: 2 })],
    ["constant is 1", "constant", () => schedule.infinite({ ...infinite, constant: 1 })],
    ["min is 0.0002", "min", () => schedule.infinite({ ...infinite, min: 2e-4 })],
    ["min is 0", "min", () => schedule.infinite({ ...infinite, min: 0 })],
    ["alpha is 0", "alpha", () => schedule.infinite({ ...infinite, alpha: 0 })],
    [
      "constantSteps is NaN",
      "constantSteps",
      () => schedule.infinite({ ...infinite, constantSteps: Number.NaN }),
    ],
    ['cooldown is "fast"', "cooldown", () => schedule.infinite({ ...infinite, cooldown: "fast" as never })],
    ["0 stages", "stages", () => schedule.rewarm([])],
    ["warmupSteps is 6", "warmupSteps", () => schedule.rewarm([stage, { ...stage, warmupSteps: 6 }])],
    ["min is 1.5", "min", () => schedule.rewarm([stage, { ...stage, min: 1.5 }])],
  ];

  it.each(cases)("%s", (words, key, make) => {
    const error = configError(make);
    expect(error.message).toMatch(/^schedule\.\w+: /);
    expect(error.message).toContain(words);
    expect(error.key).toBe(key);
  });
});
