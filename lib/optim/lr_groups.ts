import { ConfigError } from "../core/errors.ts";
import { refuseUnknown } from "../core/options.ts";
import type { Tensor } from "../core/tensor.ts";
import { checkRange } from "./checks.ts";

/** Parameters that learn at another rate than the optimizer's. */
export interface LrGroup {
  /** Which parameters: a pattern that their names hold, or a function of name and shape. */
  match: RegExp | ((name: string, shape: readonly number[]) => boolean);
  /** Their learning rate as a multiple of `lr`; 0 keeps them as they are. */
  lrScale: number;
}

/**
 * LoRA+ (Hayou et al. 2024, arXiv 2402.12354): B learns `ratio` times as fast as A, as in
 * `adamw({ lr, groups: loraPlus(16) })`. The paper's 16 is the default; the rate of A is `lr`.
 */
export function loraPlus(ratio = 16): LrGroup[] {
  return [{ match: /\blora_(embedding_)?B\b/, lrScale: ratio }];
}

/** Throws ConfigError for a group that has other keys, no match, or a scale that is no number from 0 up. */
export function checkLrGroups(name: string, groups: readonly LrGroup[]): void {
  for (const [i, group] of groups.entries()) {
    refuseUnknown(`${name}, groups[${i}]`, group, ["match", "lrScale"]);
    if (!(group.match instanceof RegExp || typeof group.match === "function")) {
      throw new ConfigError(
        `${name}: groups[${i}].match is ${JSON.stringify(group.match)}, needed a RegExp or a function`,
        `groups[${i}].match`,
      );
    }
    checkRange(name, { [`groups[${i}].lrScale`]: group.lrScale });
  }
}

/**
 * Each parameter's multiple of the learning rate: that of the first group it matches, else 1.
 *
 * @throws ConfigError when a group matches no parameter at all, which a misspelt name would do.
 */
export function lrScales(
  name: string,
  groups: readonly LrGroup[],
  params: Readonly<Record<string, Tensor>>,
): Map<string, number> {
  const matches = groups.map(({ match }) =>
    Object.entries(params).flatMap(([key, { shape }]) =>
      (match instanceof RegExp ? key.search(match) >= 0 : match(key, shape)) ? [key] : [],
    ),
  );
  const scales = new Map(Object.keys(params).map((key) => [key, 1]));
  for (const [i, keys] of [...matches.entries()].reverse()) {
    if (keys.length === 0) {
      throw new ConfigError(
        `${name}.init: groups[${i}], ${groups[i]!.match}, matches none of ${scales.size} parameters, needed one at least`,
        `groups[${i}].match`,
      );
    }
    for (const key of keys) scales.set(key, groups[i]!.lrScale);
  }
  return scales;
}
