import { ConfigError } from "../core/errors.ts";
import type { Linear } from "../nn/linear.ts";
import type { AdapterConfig } from "./adapter.ts";

/** Which layers an adapter goes to: names that end a module path, or one regular expression for the whole path. */
export interface TargetOptions {
  /** A list of names ("q_proj", "experts.3.w1"), a regular expression as a string, or "all-linear". */
  targets: readonly string[] | string;
  /** Layers left out, written like targets. */
  exclude?: readonly string[] | string | undefined;
  /** Only these decoder layers. */
  layers?: readonly number[] | undefined;
}

function matcher(pattern: readonly string[] | string, key: string): (module: string) => boolean {
  if (typeof pattern !== "string") {
    return (module) => pattern.some((name) => module === name || module.endsWith(`.${name}`));
  }
  try {
    const whole = new RegExp(`^(?:${pattern})$`);
    return (module) => whole.test(module);
  } catch (error) {
    throw new ConfigError(
      `adapter: ${key} "${pattern}" is no regular expression (${(error as Error).message})`,
      key,
    );
  }
}

/**
 * The parts of each layer that match, as indices into `linear.modules` (experts one by one). Throws ConfigError when a name
 * matches nothing: an adapter that silently trains less than was asked for is the classic bug.
 */
export function findTargets(linears: readonly Linear[], options: TargetOptions): Map<Linear, number[]> {
  const { targets, exclude, layers } = options;
  const wanted =
    targets === "all-linear" ? (module: string) => module !== "lm_head" : matcher(targets, "targets");
  const unwanted = exclude === undefined ? () => false : matcher(exclude, "exclude");
  const inLayers = (module: string): boolean => {
    const layer = /(?:^|\.)layers\.(\d+)\./.exec(module)?.[1];
    return layers === undefined || (layer !== undefined && layers.includes(Number(layer)));
  };
  const beyond = layers?.filter((n) => !linears.some(({ modules }) => modules[0]!.includes(`layers.${n}.`)));
  if (beyond?.length) {
    throw new ConfigError(`adapter: layers has ${beyond.join(", ")}, which the model lacks`, "layers");
  }
  const found = new Map<Linear, number[]>();
  for (const linear of linears) {
    const parts = linear.modules.flatMap((module, i) =>
      wanted(module) && !unwanted(module) && inLayers(module) ? [i] : [],
    );
    if (parts.length > 0) found.set(linear, parts);
  }
  const lonely =
    typeof targets === "string"
      ? found.size === 0
        ? [targets]
        : []
      : targets.filter((name) => {
          const matches = matcher([name], "targets");
          return !linears.some((linear) => linear.modules.some(matches));
        });
  if (lonely.length === 0 && found.size === 0) {
    throw new ConfigError(
      `adapter: targets ${JSON.stringify(targets)} with exclude and layers leave no layer to adapt`,
      "targets",
    );
  }
  if (lonely.length > 0) {
    throw new ConfigError(
      `adapter: no layer is called ${lonely.join(", ")}; this model has ${lastNames(linears).join(", ")}` +
        " (routers and norms take no adapter)",
      "targets",
    );
  }
  return found;
}

const lastNames = (linears: readonly Linear[]): string[] => [
  ...new Set(linears.map((linear) => linear.modules[0]!.split(".").at(-1)!)),
];

/** Rank and scale of the update of one module. */
export function sizesOf(config: AdapterConfig, module: string): { rank: number; scaling: number } {
  const rank = fromPattern(config.rankPattern, "rankPattern", module) ?? config.rank;
  const alpha = fromPattern(config.alphaPattern, "alphaPattern", module) ?? config.alpha;
  return { rank, scaling: config.rslora ? alpha / Math.sqrt(rank) : alpha / rank };
}

/** The value for `module` in a PEFT pattern, whose keys match a whole path or its end after a dot. */
function fromPattern(
  pattern: Readonly<Record<string, number>>,
  option: string,
  module: string,
): number | undefined {
  return Object.entries(pattern).find(([key]) => matcher(`(.*\\.)?(${key})`, option)(module))?.[1];
}
