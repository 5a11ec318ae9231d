import { ConfigError } from "../core/errors.ts";

/** What happens to gradients before the optimizer sees them. */
export interface GradientTransform {
  readonly kind: "clipByGlobalNorm";
  readonly maxNorm: number;
}

/**
 * Scales gradients by min(1, maxNorm / (‖g‖ + 1e-6)), where ‖g‖ is the norm of all of them together (Pascanu et al. 2013, as
 * PyTorch writes it). A NaN among them makes all of them NaN, and the norm too.
 */
export function clipByGlobalNorm(maxNorm: number): GradientTransform {
  if (!(Number.isFinite(maxNorm) && maxNorm > 0)) {
    throw new ConfigError(
      `clipByGlobalNorm: maxNorm is ${maxNorm}, needed a finite number above 0. Leave the clip out to never clip`,
      "maxNorm",
    );
  }
  return { kind: "clipByGlobalNorm", maxNorm };
}
