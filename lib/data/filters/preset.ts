import { ConfigError } from "../../core/errors.ts";
import { checkNumber, checkOneOf, refuseUnknown } from "../../core/options.ts";

/**
 * Which of datatrove's rules: those of today, or those that made the FineWeb data set in spring 2024, which compare inclusively
 * and know fewer marks.
 */
export type Preset = "current" | "fineweb2024";

/** What every filter of rules takes beside its thresholds. */
export interface RuleOptions {
  /** Default "current". */
  preset?: Preset;
  /** How words are told apart, as fastText names a language: "zh", "ja", "th" … by dictionary, others as English. Default "en". */
  language?: string;
}

/**
 * Options over defaults. Throws ConfigError for unknown names, for a number below 0, and for `null` in anything but a number:
 * there it turns the rule off.
 */
export function ruleSettings<T extends object>(
  where: string,
  options: Partial<T> & RuleOptions,
  defaultsOf: (preset: Preset) => T,
): T & Required<RuleOptions> {
  const { preset = "current", language = "en" } = options;
  checkOneOf(where, "preset", preset, ["current", "fineweb2024"]);
  const defaults = { ...defaultsOf(preset), preset, language };
  refuseUnknown(where, options, Object.keys(defaults));
  const settings = { ...defaults } as Record<string, unknown>;
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const standard = (defaults as Record<string, unknown>)[key];
    if (typeof standard === "number") {
      if (value !== null) checkNumber(where, { [key]: value }, 0);
    } else if (typeof value !== typeof standard || Array.isArray(value) !== Array.isArray(standard)) {
      const kind = Array.isArray(standard) ? "list" : typeof standard;
      throw new ConfigError(`${where}: ${key} is ${JSON.stringify(value)}, a ${kind} was needed`, key);
    }
    settings[key] = value;
  }
  return settings as T & Required<RuleOptions>;
}

/** A threshold; null turns its rule off. */
export type Threshold = number | null;

/** Whether a value is above a threshold that is on. */
export const above = (value: number, threshold: Threshold): boolean =>
  threshold !== null && value > threshold;

/** Whether a value is below a threshold that is on. */
export const below = (value: number, threshold: Threshold): boolean =>
  threshold !== null && value < threshold;
