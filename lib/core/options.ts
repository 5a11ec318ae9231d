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
