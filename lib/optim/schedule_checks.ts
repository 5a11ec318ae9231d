import { ConfigError } from "../core/errors.ts";

/** Rates must be finite numbers from 0 up. */
export function checkRates(name: string, rates: Record<string, number>): void {
  for (const [key, rate] of Object.entries(rates)) {
    if (!(Number.isFinite(rate) && rate >= 0)) {
      throw new ConfigError(
        `schedule.${name}: ${key} is ${rate}, needed a finite number from 0 up. Give a learning rate such as 3e-4.`,
        key,
      );
    }
  }
}

/** What a formula divides by must be above 0. */
export function checkPositive(name: string, values: Record<string, number>): void {
  for (const [key, value] of Object.entries(values)) {
    if (!(Number.isFinite(value) && value > 0)) {
      throw new ConfigError(
        `schedule.${name}: ${key} is ${value}, needed a finite number above 0. The formula divides by it.`,
        key,
      );
    }
  }
}

/** Lengths must be whole numbers from 0 up. */
export function checkSteps(name: string, lengths: Record<string, number>): void {
  for (const [key, length] of Object.entries(lengths)) {
    if (!(Number.isInteger(length) && length >= 0)) {
      throw new ConfigError(
        `schedule.${name}: ${key} is ${length}, needed a whole number of updates from 0 up. Round it, or give 0.`,
        key,
      );
    }
  }
}

/** Takes two settings in the order they must have: `{ small, large }`. */
export function checkOrder(name: string, pair: Record<string, number>): void {
  const [[key, small], [largeKey, large]] = Object.entries(pair) as [[string, number], [string, number]];
  if (small > large) {
    throw new ConfigError(
      `schedule.${name}: ${key} is ${small}, needed at most ${largeKey} (${largeKey} ${large}). ` +
        `Lower ${key} or raise ${largeKey}.`,
      key,
    );
  }
}

/** One of the names a setting may have. */
export function checkName(name: string, key: string, value: string, known: readonly string[]): void {
  if (!known.includes(value)) {
    throw new ConfigError(
      `schedule.${name}: ${key} is "${value}", needed one of ${known.join(", ")}. Write one of these.`,
      key,
    );
  }
}
