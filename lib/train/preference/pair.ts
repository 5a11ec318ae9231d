import { ConfigError, ShapeError } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, scale } from "../../ops/add.ts";
import { multiply } from "../../ops/binary.ts";
import { sum } from "../../ops/segment_sum.ts";
import { clamp, exp, logSigmoid, reciprocal } from "../../ops/unary.ts";

/** Summed log-probabilities of the completions of P pairs, under the policy and under the reference, [P] f32 each. */
export interface PairLogProbs {
  chosen: Tensor;
  rejected: Tensor;
  refChosen: Tensor;
  refRejected: Tensor;
}

/** Tokens of each completion, [P]. Left out: the log-probabilities are averages over tokens already. */
export interface TokenCounts {
  chosenTokens?: Tensor | ArrayLike<number>;
  rejectedTokens?: Tensor | ArrayLike<number>;
}

/**
 * The f-divergence that holds the policy near the reference (Wang et al. 2023, Beyond Reverse KL): log-ratios become f′ of
 * the ratio. `{ alpha }` is the α-divergence; 1 is reverse KL again.
 */
export type Divergence = "reverseKl" | "forwardKl" | "js" | { alpha: number };

/** What most losses on pairs take. */
export interface PairLossInputs extends PairLogProbs {
  /** Strength of the reference. Default 0.1. */
  beta?: number;
  /** Default "reverseKl". */
  divergence?: Divergence;
}

export const subtract = (a: Tensor, b: Tensor): Tensor => add(a, b, { beta: -1 });

/** x + by, element by element. */
export const shift = (x: Tensor, by: number): Tensor => add(x, x.device.full(x.shape, by));

/** Any number above 1e-30, times this, is at least 1. */
const kSteep = 1e30;

/** 1 where x is above 0, else 0. */
export const isPositive = (x: Tensor): Tensor => clamp(scale(x, kSteep), 0, 1);

/** The mean of x [N], as a tensor [1]. Throws ShapeError for none. */
export function mean(x: Tensor): Tensor {
  if (x.size === 0) throw new ShapeError("mean: of no element, at least one was needed", "mean", ["[0] f32"]);
  return scale(sum(x), 1 / x.size);
}

/** log π(y)/π_ref(y) of both completions, [P] each. */
export const logRatios = ({ chosen, rejected, refChosen, refRejected }: PairLogProbs) => ({
  chosen: subtract(chosen, refChosen),
  rejected: subtract(rejected, refRejected),
});

/** f′ of both ratios, [P] each, 0 where policy and reference agree. */
export function scores({ divergence = "reverseKl", ...pairs }: PairLossInputs) {
  const ratios = logRatios(pairs);
  return { chosen: score(ratios.chosen, divergence), rejected: score(ratios.rejected, divergence) };
}

/** The difference of scores, Δ [P]: what the pair is judged by. */
export function margins(inputs: PairLossInputs): Tensor {
  const { chosen, rejected } = scores(inputs);
  return subtract(chosen, rejected);
}

/** Beyond e^80 an f32 is near its end. */
const kMostExponent = 80;

function score(logRatio: Tensor, divergence: Divergence): Tensor {
  if (divergence === "reverseKl") return logRatio;
  const held = (x: Tensor): Tensor => exp(clamp(x, Number.NEGATIVE_INFINITY, kMostExponent));
  if (divergence === "forwardKl") return shift(scale(held(scale(logRatio, -1)), -1), 1);
  if (divergence === "js") return shift(logSigmoid(logRatio), Math.LN2);
  const { alpha } = divergence;
  if (!Number.isFinite(alpha)) {
    throw new ConfigError(
      `divergence: ${JSON.stringify(divergence)}; reverseKl, forwardKl, js or { alpha } was needed`,
      "divergence",
    );
  }
  const a = alpha - 1;
  if (Math.abs(a) < 1e-6) return logRatio;
  return scale(shift(held(scale(logRatio, a)), -1), 1 / a);
}

/** x / tokens; an empty completion counts as one token. */
export function perToken(x: Tensor, tokens: Tensor | ArrayLike<number> | undefined): Tensor {
  if (tokens === undefined) return x;
  if ("isTensor" in tokens) return multiply(x, reciprocal(clamp(tokens, 1, Number.POSITIVE_INFINITY)));
  return multiply(
    x,
    listOf(
      x,
      Float32Array.from(tokens, (n) => 1 / Math.max(n, 1)),
    ),
  );
}

/** Values beside x, on its device. */
export const listOf = (x: Tensor, values: Float32Array): Tensor => x.device.tensor(values, [values.length]);

/** Throws ConfigError unless 0 ≤ labelSmoothing < 0.5. */
export function checkSmoothing(name: string, labelSmoothing: number): void {
  if (labelSmoothing >= 0 && labelSmoothing < 0.5) return;
  throw new ConfigError(
    `${name}: labelSmoothing is ${labelSmoothing}, a number from 0, below 0.5 was needed`,
    "labelSmoothing",
  );
}

/** Throws ConfigError unless beta is above 0. */
export function checkBeta(name: string, beta: number): void {
  if (beta > 0 && Number.isFinite(beta)) return;
  throw new ConfigError(`${name}: beta is ${beta}, a number above 0 was needed`, "beta");
}

/** −(1 − ε)·log σ(x) − ε·log σ(−x), each element. */
export function smoothedLogistic(x: Tensor, labelSmoothing: number): Tensor {
  const right = scale(logSigmoid(x), -(1 - labelSmoothing));
  return labelSmoothing === 0 ? right : add(right, logSigmoid(scale(x, -1)), { beta: -labelSmoothing });
}
