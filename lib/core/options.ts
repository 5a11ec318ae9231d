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

/** Throws ConfigError unless each setting is a whole number from `least` up. */
export function checkWhole(where: string, settings: Readonly<Record<string, unknown>>, least: number): void {
  for (const [key, value] of Object.entries(settings)) {
    if (Number.isSafeInteger(value) && (value as number) >= least) continue;
    throw new ConfigError(`${where}: ${key} is ${value}, a whole number from ${least} was needed`, key);
  }
}
