import { ConfigError } from "../../core/errors.ts";
import { nearest } from "../../core/nearest.ts";
import { refuseUnknown } from "../../core/options.ts";
import { isObject } from "../../io/json.ts";

/** Near-duplicates stay; go from all documents together; or from those that share a value in the metadata, such as a crawl's dump. */
export type VariantDedup = "none" | "global" | { readonly by: string };

/** One version of a pipeline. Steps that aren't filters (`filter.*`) stay unless `without` names them. */
export interface PipelineVariant {
  /** Steps that it hasn't: "filter.c4"; a step's second use is "filter.c4#2". */
  readonly without?: readonly string[] | undefined;
  /** The only filters that it has. */
  readonly only?: readonly string[] | undefined;
  /** Default: the option of all variants. */
  readonly dedup?: VariantDedup | undefined;
}

const kWhere = "pipelineVariants";
const isFilter = (label: string): boolean => label.startsWith("filter.");

/**
 * Which steps each variant has, by their place among `labels`, and what of its near-duplicates.
 * @throws ConfigError for a step that writes, for unknown names and options, and where there is nothing to compare.
 */
export function chosenSteps(
  labels: readonly string[],
  variants: Readonly<Record<string, PipelineVariant>> = defaultVariants(labels),
  dedup: VariantDedup = "none",
): Record<string, { steps: ReadonlySet<number>; dedup: VariantDedup }> {
  refuseWriters(labels);
  checkDedup("dedup", dedup);
  return Object.fromEntries(
    Object.entries(variants).map(([name, variant]) => [name, chosen(name, variant, labels, dedup)]),
  );
}

function chosen(name: string, variant: PipelineVariant, labels: readonly string[], dedup: VariantDedup) {
  if (!isObject(variant as unknown)) {
    throw new ConfigError(
      `${kWhere}: variant ${name} is ${JSON.stringify(variant)}, an object was needed: {} has all steps`,
      "variants",
    );
  }
  refuseUnknown(`${kWhere}: variant ${name}`, variant, ["without", "only", "dedup"]);
  const { without = [], only, dedup: own = dedup } = variant;
  checkNames(name, "without", without, labels);
  if (only !== undefined) checkNames(name, "only", only, labels.filter(isFilter));
  checkDedup(`variant ${name}: dedup`, own);
  const stays = (label: string): boolean =>
    !without.includes(label) && (only === undefined || !isFilter(label) || only.includes(label));
  return { steps: new Set(labels.flatMap((label, k) => (stays(label) ? [k] : []))), dedup: own };
}

/** All filters, none of them, and all but each. */
function defaultVariants(labels: readonly string[]): Record<string, PipelineVariant> {
  const filters = labels.filter(isFilter);
  if (filters.length === 0) {
    throw new ConfigError(
      `${kWhere}: there is no filter among ${labels.join(", ") || "the steps"}, and no variants are given; one of the two was needed`,
      "variants",
    );
  }
  const each = filters.length === 1 ? [] : filters;
  const nameOf = (label: string): string => `without-${label.slice("filter.".length).replace("#", "-")}`;
  return {
    all: {},
    none: { only: [] },
    ...Object.fromEntries(each.map((label) => [nameOf(label), { without: [label] }])),
  };
}

function checkNames(name: string, key: string, given: unknown, known: readonly string[]): void {
  if (!Array.isArray(given)) {
    throw new ConfigError(
      `${kWhere}: variant ${name}: ${key} is ${JSON.stringify(given)}, a list of steps was needed`,
      "variants",
    );
  }
  for (const label of given) {
    if (known.includes(label)) continue;
    const meant = nearest(String(label), known);
    throw new ConfigError(
      `${kWhere}: variant ${name}: ${key} names "${label}", which is no ${key === "only" ? "filter" : "step"} of the pipeline${meant ? `; is it ${meant}?` : "."} Known are ${known.join(", ") || "none"}`,
      "variants",
    );
  }
}

function checkDedup(where: string, dedup: unknown): void {
  if (dedup === "none" || dedup === "global") return;
  if (isObject(dedup)) refuseUnknown(`${kWhere}: ${where}`, dedup, ["by"]);
  if (isObject(dedup) && typeof dedup.by === "string" && dedup.by !== "") return;
  throw new ConfigError(
    `${kWhere}: ${where} is ${JSON.stringify(dedup)}, "none", "global" or { by: a word of the metadata } was needed`,
    "dedup",
  );
}

/** Variants would all write the same files. */
function refuseWriters(labels: readonly string[]): void {
  const writer = labels.find((label) => /^(write|stats)\./.test(label));
  if (writer === undefined) return;
  throw new ConfigError(
    `${kWhere}: the step ${writer} writes files, steps that write none were needed. Leave it out: the texts of each variant are written anyway`,
    "steps",
  );
}
