import { ConfigError } from "./errors.ts";
import { nearest } from "./nearest.ts";

/** Throws ConfigError for a key that is not among the known ones, with the nearest of them. */
export function refuseUnknown(where: string, options: object, known: readonly string[]): void {
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    const meant = nearest(key, known);
    throw new ConfigError(
      `${where}: unknown option "${key}"${meant ? `, is it ${meant}?` : "."} Known are ${known.join(", ")}`,
      key,
    );
  }
}

/** Throws ConfigError unless each setting is a finite number from `least` to `most`. */
export function checkNumber(
  where: string,
  settings: Readonly<Record<string, unknown>>,
  least: number,
  most = Number.POSITIVE_INFINITY,
): void {
  for (const [key, value] of Object.entries(settings)) {
    if (Number.isFinite(value) && (value as number) >= least && (value as number) <= most) continue;
    const range = Number.isFinite(most) ? `from ${least} to ${most}` : `from ${least}`;
    throw new ConfigError(`${where}: ${key} is ${value}, a number ${range} was needed`, key);
  }
}

/** Throws ConfigError unless each setting is a whole number from `least` up. */
export function checkWhole(where: string, settings: Readonly<Record<string, unknown>>, least: number): void {
  for (const [key, value] of Object.entries(settings)) {
    if (Number.isSafeInteger(value) && (value as number) >= least) continue;
    throw new ConfigError(`${where}: ${key} is ${value}, a whole number from ${least} was needed`, key);
  }
}

/** Throws ConfigError unless a setting is one of some words. */
export function checkOneOf(where: string, key: string, value: unknown, words: readonly string[]): void {
  if (words.includes(value as string)) return;
  throw new ConfigError(
    `${where}: ${key} is ${JSON.stringify(value)}, one of ${words.join(", ")} was needed`,
    key,
  );
}
