import { ConfigError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { refuseUnknown } from "../core/options.ts";
import { isObject } from "../io/json.ts";
import type { Reader, Step, StepDescription } from "./step.ts";

/** Makes a step of its options; it refuses those that it doesn't take. */
type Make = (options: never) => Reader | Step;

/** For a factory that takes one of its options first, a path, or for "files" also several. */
const first =
  (key: string, load: () => Promise<(first: never, options: never) => Reader | Step>) =>
  async (step: string): Promise<Make> => {
    const make = await load();
    return ({ [key]: given, ...options }: Record<string, unknown>) => {
      const paths = key === "files" ? [given].flat() : [given];
      if (given === undefined) refuseNear(step, options, key);
      if (paths.length === 0 || !paths.every((path) => typeof path === "string" && path !== "")) {
        const found = given === undefined ? "missing" : JSON.stringify(given);
        throw new ConfigError(`${step}: ${key} is ${found}, a path was needed`, key);
      }
      return make(given as never, options as never);
    };
  };

/** Throws ConfigError for an option that is probably a needed one, misspelt. */
function refuseNear(step: string, options: object, key: string): void {
  const meant = nearest(key, Object.keys(options));
  if (meant !== undefined) refuseUnknown(step, { [meant]: 0 }, [key]);
}

/**
 * Every step that can be made from its description: in a worker, or from a pipeline file. A new one is a line here. Only
 * what is asked for is loaded.
 */
const registry: Readonly<Record<string, (step: string) => Promise<Make>>> = {
  "dedup.bloom": async () => (await import("./dedup/bloom.ts")).bloom,
  "dedup.decontaminate": async () => (await import("./dedup/decontaminate.ts")).decontaminate,
  "dedup.exact": async () => (await import("./dedup/exact.ts")).exact,
  "dedup.sentence": async () => (await import("./dedup/sentence.ts")).sentence,
  "dedup.url": async () => (await import("./dedup/exact.ts")).url,
  "extract.mainText": async () => (await import("./extract/main_text.ts")).mainText,
  "filter.c4": async () => (await import("./filters/c4.ts")).c4,
  "filter.fineweb": async () => (await import("./filters/fineweb.ts")).fineweb,
  "filter.gopherQuality": async () => (await import("./filters/gopher_quality.ts")).gopherQuality,
  "filter.gopherRepetition": async () => (await import("./filters/gopher_repetition.ts")).gopherRepetition,
  "filter.language": async () => (await import("./filters/language.ts")).language,
  "filter.url": async () => (await import("./filters/url.ts")).url,
  "format.pii": async () => (await import("./format/pii.ts")).pii,
  "read.jsonl": first("files", async () => (await import("./readers/jsonl.ts")).jsonl),
  "read.parquet": first("files", async () => (await import("./readers/parquet.ts")).parquet),
  "read.text": first("files", async () => (await import("./readers/text.ts")).text),
  "read.warc": first("files", async () => (await import("./readers/warc.ts")).warc),
  "stats.histograms": first("dir", async () => (await import("./stats/histograms.ts")).histograms),
  "step.module": first("file", async () => (await import("./steps/module.ts")).module),
  "write.jsonl": first("dir", async () => (await import("./writers/jsonl.ts")).jsonl),
  "write.parquet": first("dir", async () => (await import("./writers/parquet.ts")).parquet),
  "write.tokens": first("dir", async () => (await import("./writers/tokens.ts")).tokens),
};

export const stepNames = (): string[] => Object.keys(registry);

export const isRegistered = ({ step }: StepDescription): boolean => step in registry;

/** Makes a step anew. Throws ConfigError for a name that isn't known, and what the step says of its options. */
export async function makeStep({ step, options }: StepDescription): Promise<Reader | Step> {
  const load = registry[step];
  if (!load) {
    const meant = nearest(step, stepNames());
    throw new ConfigError(
      `pipeline: unknown step "${step}"${meant ? `, is it ${meant}?` : "."} Known are ${stepNames().join(", ")}`,
      step,
    );
  }
  return (await load(step))(options as never);
}

/** The place in a value that JSON would not keep as it is, with what stands there; undefined if there is none. */
export function notJson(value: unknown, place: string): string | undefined {
  if (value === undefined || value === null || ["string", "boolean"].includes(typeof value)) return undefined;
  if (typeof value === "number") return Number.isFinite(value) ? undefined : `${place} is ${value}`;
  const entries = Array.isArray(value)
    ? value.map((item, i) => [`[${i}]`, item] as const)
    : isObject(value) && [Object.prototype, null].includes(Object.getPrototypeOf(value))
      ? Object.entries(value).map(([key, item]) => [`.${key}`, item] as const)
      : undefined;
  if (!entries) return `${place} is a ${typeof value === "object" ? value.constructor.name : typeof value}`;
  for (const [key, item] of entries) {
    const found = notJson(item, `${place}${key}`);
    if (found) return found;
  }
  return undefined;
}
