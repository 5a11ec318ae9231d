import { ConfigError } from "../core/errors.ts";
import type { GradientTransform } from "./clip.ts";
import { type Optimizer, optimizerOf } from "./optimizer.ts";

/**
 * Gradient transforms in order, then the optimizer that takes their result. Of several clips the smallest norm holds, as
 * it would one after the other.
 *
 * @throws ConfigError unless the last part, and only that, is an optimizer.
 */
export function chain(...parts: readonly [...GradientTransform[], Optimizer]): Optimizer {
  const last = parts.at(-1);
  const before = parts.slice(0, -1);
  if (last?.kind !== "optimizer" || !before.every((part) => part?.kind === "clipByGlobalNorm")) {
    const kinds = parts.map((part) => part?.kind ?? typeof part).join(", ");
    throw new ConfigError(
      `chain: the parts are [${kinds}], needed gradient transforms and then one optimizer. Put adamw(…) last`,
      "parts",
    );
  }
  return optimizerOf(last.rule, Math.min(last.maxNorm, ...before.map((part) => part.maxNorm)));
}
