import { ConfigError } from "../../core/errors.ts";

/** A weight that stays, or one that is steered towards a KL. */
export type KlCoefficient =
  | number
  | {
      initial: number;
      /** KL of a completion, in nats, to steer towards. */
      target: number;
      /** Completions in which the weight grows or shrinks by e^0.2 = 1.22 at most. Default 10000. */
      horizon?: number;
    };

/** The weight of the KL, fixed or adaptive (Ziegler et al. 2019, §2.2; by an exponential, so that it stays above 0). */
export class AdaptiveKl {
  /** The weight now, under `klCoef`: a checkpoint keeps it. */
  readonly numbers: { klCoef: number };

  constructor(
    name: string,
    private readonly coefficient: KlCoefficient,
  ) {
    const initial = typeof coefficient === "number" ? coefficient : coefficient.initial;
    this.numbers = { klCoef: initial };
    const rest = typeof coefficient === "number" ? [1, 1] : [coefficient.target, coefficient.horizon ?? 1];
    if (initial >= 0 && Number.isFinite(initial) && rest.every((value) => value > 0)) return;
    throw new ConfigError(
      `${name}: klCoef is ${JSON.stringify(coefficient)}, a number from 0 or { initial, target, horizon } above 0 was needed`,
      "klCoef",
    );
  }

  /** After a step whose `completions` completions had a mean KL of `kl`. */
  observe(kl: number, completions: number): void {
    if (typeof this.coefficient === "number") return;
    const { target, horizon = 10_000 } = this.coefficient;
    const error = Math.min(Math.max(kl / target - 1, -0.2), 0.2);
    this.numbers.klCoef *= Math.exp((error * completions) / horizon);
  }
}
