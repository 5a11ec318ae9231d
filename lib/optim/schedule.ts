/**
 * Learning-rate schedules: plain functions of the number of updates already done, so that a resumed run continues where
 * it stopped, with nothing to save. The first update uses `schedule(0)`, which is 0 where a warm-up starts at 0.
 *
 * Lengths are counted in updates. A phase of 0 updates is skipped, and after the last phase its end value holds.
 * Every function throws `ConfigError` for a rate that is negative or not finite, for a length that is not a whole
 * number from 0 up, and for rates in the wrong order.
 */
import { ConfigError } from "../core/errors.ts";
import { checkName, checkOrder, checkPositive, checkRates, checkSteps } from "./schedule_checks.ts";

/** Learning rate as a function of the number of updates already done. */
export type Schedule = (updatesDone: number) => number;

/** `lr` at all times. */
export function constant(lr: number): Schedule {
  checkRates("constant", { lr });
  return () => lr;
}

/** A straight line: `from + (to − from)·t/steps`, then `to`. */
export function linear(from: number, to: number, steps: number): Schedule {
  checkRates("linear", { from, to });
  checkSteps("linear", { steps });
  return (t) => (t < steps ? (from * (steps - t) + to * t) / steps : to);
}

/** Half a cosine wave: `to + (from − to)/2·(1 + cos(π·t/steps))`, then `to` (Loshchilov and Hutter 2017, eq. 5). */
export function cosine(from: number, to: number, steps: number): Schedule {
  checkRates("cosine", { from, to });
  checkSteps("cosine", { steps });
  return (t) => (t < steps ? to + ((from - to) / 2) * (1 + Math.cos((Math.PI * t) / steps)) : to);
}

/** 1 minus the square root: `to + (from − to)·(1 − √(t/steps))`, then `to` (Hägele et al. 2024, arXiv 2405.18392, eq. 1). */
export function oneMinusSqrt(from: number, to: number, steps: number): Schedule {
  checkRates("oneMinusSqrt", { from, to });
  checkSteps("oneMinusSqrt", { steps });
  return (t) => (t < steps ? to + (from - to) * (1 - Math.sqrt(t / steps)) : to);
}

/**
 * A polynomial: `to + (from − to)·(1 − t/steps)^power`, then `to`; `power` 1 is `linear`.
 *
 * @throws ConfigError also when `power` is not above 0.
 */
export function polynomial(from: number, to: number, steps: number, power: number): Schedule {
  checkRates("polynomial", { from, to });
  checkSteps("polynomial", { steps });
  checkPositive("polynomial", { power });
  return (t) => (t < steps ? to + (from - to) * (1 - t / steps) ** power : to);
}

/**
 * An exponential: `from·(to/from)^(t/steps)`, then `to`: equal factors in equal times, as in the anneal of `infinite`.
 *
 * @throws ConfigError also when `from` or `to` is 0.
 */
export function exponential(from: number, to: number, steps: number): Schedule {
  checkPositive("exponential", { from, to });
  checkSteps("exponential", { steps });
  return (t) => (t < steps ? from * (to / from) ** (t / steps) : to);
}

/**
 * One schedule after another: `schedules[i]` takes over after `boundaries[i − 1]` updates and counts from 0 there.
 *
 * @throws ConfigError unless there is one boundary fewer than schedules and each is greater than the one before.
 */
export function join(schedules: readonly Schedule[], boundaries: readonly number[]): Schedule {
  if (schedules.length === 0 || boundaries.length !== schedules.length - 1) {
    throw new ConfigError(
      `schedule.join: ${boundaries.length} boundaries, needed one fewer than schedules (${schedules.length} schedules). ` +
        "Give the update at which each schedule but the first takes over.",
      "boundaries",
    );
  }
  const phases = schedules.map((lr, i): Phase => {
    const begin = i === 0 ? 0 : boundaries[i - 1]!;
    const end = boundaries[i] ?? Number.POSITIVE_INFINITY;
    if (i < boundaries.length) checkSteps("join", { [`boundaries[${i}]`]: end });
    if (i > 0 && end <= begin) {
      throw new ConfigError(
        `schedule.join: boundaries[${i}] is ${end}, needed more than ${begin} (boundaries [${boundaries.join(", ")}]). ` +
          "Count boundaries from the start of training.",
        "boundaries",
      );
    }
    return [end - begin, lr];
  });
  return inTurn(phases);
}

/**
 * Linear warm-up `peak·t/warmupSteps`, then a cosine from `peak` to `min` at `totalSteps`, warm-up included (Ibrahim et
 * al. 2024, arXiv 2403.08763, eq. 2).
 *
 * @throws ConfigError also when `min > peak` or `warmupSteps > totalSteps`.
 */
export function warmupCosine(options: {
  peak: number;
  min: number;
  warmupSteps: number;
  totalSteps: number;
}): Schedule {
  const { peak, min, warmupSteps, totalSteps } = options;
  checkRates("warmupCosine", { peak, min });
  checkSteps("warmupCosine", { warmupSteps, totalSteps });
  checkOrder("warmupCosine", { min, peak });
  checkOrder("warmupCosine", { warmupSteps, totalSteps });
  return inTurn([
    [warmupSteps, linear(0, peak, warmupSteps)],
    [totalSteps - warmupSteps, cosine(peak, min, totalSteps - warmupSteps)],
  ]);
}

/**
 * Linear warm-up to `peak`, then `peak / sqrt((t − warmupSteps + timescale) / timescale)`, without an end. With
 * `timescale = warmupSteps` that is `peak·sqrt(warmupSteps / t)` (Vaswani et al. 2017, section 5.3).
 *
 * @throws ConfigError also when `timescale` is 0.
 */
export function inverseSqrt(options: { peak: number; warmupSteps: number; timescale: number }): Schedule {
  const { peak, warmupSteps, timescale } = options;
  checkRates("inverseSqrt", { peak });
  checkSteps("inverseSqrt", { warmupSteps });
  checkPositive("inverseSqrt", { timescale });
  return inTurn([
    [warmupSteps, linear(0, peak, warmupSteps)],
    [Number.POSITIVE_INFINITY, (t) => peak / Math.sqrt((t + timescale) / timescale)],
  ]);
}

/**
 * A trapezoid (Zhai et al. 2022, arXiv 2106.04560; Hägele et al. 2024, arXiv 2405.18392): linear warm-up to `peak`, `peak`
 * until `totalSteps − decaySteps`, then a straight line to `min` at `totalSteps`. It is `wsd` with its end given.
 *
 * @throws ConfigError also when `min > peak` or warm-up and decay together are longer than `totalSteps`.
 */
export function trapezoid(options: {
  peak: number;
  min: number;
  warmupSteps: number;
  decaySteps: number;
  totalSteps: number;
}): Schedule {
  const { peak, min, warmupSteps, decaySteps, totalSteps } = options;
  checkRates("trapezoid", { peak, min });
  checkSteps("trapezoid", { warmupSteps, decaySteps, totalSteps });
  checkOrder("trapezoid", { min, peak });
  checkOrder("trapezoid", { "warmupSteps + decaySteps": warmupSteps + decaySteps, totalSteps });
  const stableSteps = totalSteps - warmupSteps - decaySteps;
  return wsd({ peak, min, warmupSteps, stableSteps, decaySteps, decay: "linear" });
}

/**
 * `before` for `steps` updates, then a cooldown from the rate it has reached there to `min` over `decaySteps`, in one of the
 * shapes of `wsd`. That is how a checkpoint of a run without an end is branched off and annealed (Biderman et al. 2024,
 * arXiv 2405.09673, after an inverse square root; Hägele et al. 2024, arXiv 2405.18392, after a constant):
 * `cooldown(inverseSqrt({ … }), { steps, min: 0, decaySteps: 0.2 * steps, decay: "linear" })`.
 *
 * @throws ConfigError also when the rate reached is below `min`, or the name of the decay is unknown.
 */
export function cooldown(
  before: Schedule,
  options: { steps: number; min: number; decaySteps: number; decay: "linear" | "cosine" | "oneMinusSqrt" },
): Schedule {
  const { steps, min, decaySteps, decay } = options;
  checkSteps("cooldown", { steps, decaySteps });
  checkName("cooldown", "decay", decay, Object.keys(decays));
  const reached = before(steps);
  checkRates("cooldown", { min, "the rate reached": reached });
  checkOrder("cooldown", { min, "the rate reached": reached });
  return inTurn([
    [steps, before],
    [decaySteps, decays[decay](reached, min, decaySteps)],
  ]);
}

/**
 * Warm-up, stable, decay (Hu et al. 2024, arXiv 2404.06395; the shapes as in Hägele et al. 2024, arXiv 2405.18392):
 * linear warm-up to `peak`, `peak` for `stableSteps`, then `min + (peak − min)·f(x)` with x going from 0 to 1 over
 * `decaySteps`, and f = `1 − x` (linear), `(1 + cos πx)/2` (cosine) or `1 − √x` (oneMinusSqrt).
 *
 * @throws ConfigError also when `min > peak` or the name of the decay is unknown.
 */
export function wsd(options: {
  peak: number;
  min: number;
  warmupSteps: number;
  stableSteps: number;
  decaySteps: number;
  decay: "linear" | "cosine" | "oneMinusSqrt";
}): Schedule {
  const { peak, min, warmupSteps, stableSteps, decaySteps, decay } = options;
  checkRates("wsd", { peak, min });
  checkSteps("wsd", { warmupSteps, stableSteps, decaySteps });
  checkOrder("wsd", { min, peak });
  checkName("wsd", "decay", decay, Object.keys(decays));
  return inTurn([
    [warmupSteps, linear(0, peak, warmupSteps)],
    [stableSteps, () => peak],
    [decaySteps, decays[decay](peak, min, decaySteps)],
  ]);
}

/**
 * The infinite schedule (Ibrahim et al. 2024, arXiv 2403.08763, section 7): linear warm-up to `peak`; cooldown to
 * `constant`; `constant` for as long as data comes (`constantSteps` may be `Infinity`); anneal
 * `constant·(min/constant)^x` to `min`. The cooldown is a cosine or `peak + (constant − peak)·h(x)/h(1)` with
 * `h(x) = 1/√(1 + alpha·x) − 1`; x goes from 0 to 1 over a phase. `alpha` (10 unless given) is for `inverseSqrt` only.
 *
 * @throws ConfigError also unless `0 < min <= constant <= peak` and `alpha > 0`, and when the name of the cooldown is
 * unknown.
 */
export function infinite(options: {
  peak: number;
  constant: number;
  min: number;
  warmupSteps: number;
  cooldownSteps: number;
  constantSteps: number;
  annealSteps: number;
  cooldown: "cosine" | "inverseSqrt";
  alpha?: number;
}): Schedule {
  const { peak, constant, min, warmupSteps, cooldownSteps, constantSteps, annealSteps, cooldown } = options;
  const { alpha = 10 } = options;
  checkRates("infinite", { peak, constant, min });
  checkPositive("infinite", { min, alpha });
  checkSteps("infinite", { warmupSteps, cooldownSteps, annealSteps });
  if (constantSteps !== Number.POSITIVE_INFINITY) checkSteps("infinite", { constantSteps });
  checkOrder("infinite", { min, constant });
  checkOrder("infinite", { constant, peak });
  checkName("infinite", "cooldown", cooldown, ["cosine", "inverseSqrt"]);
  const h = (x: number) => 1 / Math.sqrt(1 + alpha * x) - 1;
  return inTurn([
    [warmupSteps, linear(0, peak, warmupSteps)],
    [
      cooldownSteps,
      cooldown === "cosine"
        ? cosine(peak, constant, cooldownSteps)
        : (t) => peak + ((constant - peak) / h(1)) * h(t / cooldownSteps),
    ],
    [constantSteps, () => constant],
    [annealSteps, exponential(constant, min, annealSteps)],
  ]);
}

/**
 * Re-warming and re-decaying, one stage per dataset (Ibrahim et al. 2024, arXiv 2403.08763, section 4): a linear
 * warm-up from the last stage's `min` (0 for the first stage) to this stage's `peak`, then a cosine to its `min`.
 * `steps` is the length of the stage, warm-up included.
 *
 * @throws ConfigError also when there is no stage, or in one `min > peak` or `warmupSteps > steps`.
 */
export function rewarm(
  stages: readonly { peak: number; min: number; warmupSteps: number; steps: number }[],
): Schedule {
  if (stages.length === 0) {
    throw new ConfigError(
      "schedule.rewarm: 0 stages, needed at least 1. Give one stage per dataset.",
      "stages",
    );
  }
  const phases: Phase[] = [];
  let from = 0;
  for (const { peak, min, warmupSteps, steps } of stages) {
    checkRates("rewarm", { peak, min });
    checkSteps("rewarm", { warmupSteps, steps });
    checkOrder("rewarm", { min, peak });
    checkOrder("rewarm", { warmupSteps, steps });
    phases.push([warmupSteps, linear(from, peak, warmupSteps)]);
    phases.push([steps - warmupSteps, cosine(peak, min, steps - warmupSteps)]);
    from = min;
  }
  return inTurn(phases);
}

/** The shapes of a decay, by name. */
const decays = { linear, cosine, oneMinusSqrt };

type Phase = readonly [steps: number, lr: Schedule];

/** The phases one after another, each counting from 0; the last one goes on for ever. */
function inTurn(phases: readonly Phase[]): Schedule {
  const last = phases.length - 1;
  return (updatesDone) => {
    let t = updatesDone;
    for (let i = 0; i < last; i++) {
      const [steps, lr] = phases[i]!;
      if (t < steps) return lr(t);
      t -= steps;
    }
    return phases[last]![1](t);
  };
}
