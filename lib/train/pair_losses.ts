import { ConfigError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import type { Tensor } from "../core/tensor.ts";
import * as losses from "./preference/index.ts";
import { pairSettings } from "./preference/inputs.ts";
import type { Divergence, PairLogProbs } from "./preference/pair.ts";

/** Settings of single losses; one that a loss doesn't take is refused. */
export interface PairLossSettings {
  /** Default: 0.1, SimPO 2. */
  beta?: number;
  /** Share of labels that may be wrong. Default 0, exoPair 0.001. */
  labelSmoothing?: number;
  /** Default "reverseKl". */
  divergence?: Divergence;
  /** discopop's temperature. Default 0.05. */
  tau?: number;
  /** SimPO's margin: gamma (default 0.5), or gammaBetaRatio = gamma / beta. */
  gamma?: number;
  gammaBetaRatio?: number;
  /** CPO's weight of the likelihood of what was chosen. Default 1. */
  alpha?: number;
}

/** All that a loss on pairs may read: of P pairs, [P] f32 each. */
export interface PairMeasures extends PairLogProbs {
  /** Tokens of the completions. */
  chosenTokens: Tensor;
  rejectedTokens: Tensor;
  /** Mean negative log-likelihood of what was chosen, [1], for losses that ask for it. */
  nll?: Tensor;
}

/** A loss of your own on pairs: a scalar [1] of log-probabilities. */
export type PairLossFunction = (measures: PairMeasures) => Tensor;

export interface PairLoss {
  compute(measures: PairMeasures & PairLossSettings): Tensor;
  /** Settings it takes. */
  takes: readonly (keyof PairLossSettings)[];
  beta: number;
  /** Does it read a reference? */
  referenced: boolean;
  /** Over which tokens of what was chosen it takes the likelihood: of the completion, or of prompt and completion. */
  nll?: "completion" | "sequence";
  /** Are rewards averages over tokens? */
  averages?: boolean;
}

type Compute = PairLoss["compute"];
const usual = (name: keyof typeof pairSettings, compute: Compute): PairLoss => ({
  compute,
  takes: pairSettings[name],
  beta: 0.1,
  referenced: true,
});
const needNll = (name: string, { nll }: PairMeasures): Tensor => {
  if (nll) return nll;
  throw new ConfigError(`${name}: the likelihood of what was chosen is not among the measures`, "nll");
};

/** The losses that `trainDpo` knows by name. */
export const pairLosses = {
  dpo: usual("dpo", losses.dpo),
  hinge: usual("hinge", losses.hinge),
  ipo: usual("ipo", losses.ipo),
  robust: usual("robust", losses.robust),
  exoPair: usual("exoPair", losses.exoPair),
  ncaPair: usual("ncaPair", losses.ncaPair),
  bcoPair: usual("bcoPair", losses.bcoPair),
  sppoHard: usual("sppoHard", losses.sppoHard),
  aot: usual("aot", losses.aot),
  aotUnpaired: usual("aotUnpaired", losses.aotUnpaired),
  apoZero: usual("apoZero", losses.apoZero),
  apoDown: usual("apoDown", losses.apoDown),
  discopop: usual("discopop", losses.discopop),
  sigmoidNorm: usual("sigmoidNorm", losses.sigmoidNorm),
  simpo: {
    compute: losses.simpo,
    takes: pairSettings.simpo,
    beta: 2,
    referenced: false,
    averages: true,
  },
  orpo: {
    compute: (measures) => losses.orpo({ ...measures, nll: needNll("orpo", measures) }),
    takes: pairSettings.orpo,
    beta: 0.1,
    referenced: false,
    nll: "sequence",
    averages: true,
  },
  cpo: {
    compute: losses.cpo,
    takes: pairSettings.cpo,
    beta: 0.1,
    referenced: false,
    nll: "completion",
  },
  sft: {
    compute: (measures) => needNll("sft", measures),
    takes: [],
    beta: 0.1,
    referenced: false,
    nll: "completion",
  },
} satisfies Record<string, PairLoss>;

export type PairLossName = keyof typeof pairLosses;

/** What others call them. */
const kOtherNames: Readonly<Record<string, PairLossName>> = { sigmoid: "dpo", cdpo: "dpo" };

const camel = (name: string): string =>
  name.replace(/[_-]([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** The name of a loss, of which snake_case and TRL's names are others; undefined for one there isn't. */
export function pairLossOf(name: string): PairLossName | undefined {
  const wanted = camel(name);
  if (Object.hasOwn(pairLosses, wanted)) return wanted as PairLossName;
  return Object.hasOwn(kOtherNames, wanted) ? kOtherNames[wanted] : undefined;
}

/** A loss by its name. Throws ConfigError, with the nearest, for one there isn't. */
export function pairLossNamed(name: string): { name: PairLossName; loss: PairLoss } {
  const known = pairLossOf(name);
  if (known) return { name: known, loss: pairLosses[known] };
  const names = Object.keys(pairLosses);
  const meant = nearest(camel(name), names);
  throw new ConfigError(
    `trainDpo: unknown loss "${name}"${meant ? `, is it ${meant}?` : "."} Known are ${names.join(", ")}`,
    "loss",
  );
}
