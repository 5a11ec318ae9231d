import { refuseUnknown } from "../../core/options.ts";
import { checkBeta } from "./pair.ts";

const divergent = ["beta", "divergence"] as const;
const smoothed = ["beta", "labelSmoothing"] as const;

/** The settings of each loss on pairs; `trainDpo` takes the same. */
export const pairSettings = {
  dpo: [...smoothed, "divergence"],
  hinge: divergent,
  ipo: divergent,
  robust: [...smoothed, "divergence"],
  exoPair: [...smoothed, "divergence"],
  ncaPair: ["beta"],
  bcoPair: ["beta"],
  sppoHard: ["beta"],
  aot: smoothed,
  aotUnpaired: smoothed,
  apoZero: ["beta"],
  apoDown: ["beta"],
  discopop: [...divergent, "tau"],
  sigmoidNorm: divergent,
  simpo: ["beta", "gamma", "gammaBetaRatio"],
  orpo: ["beta"],
  cpo: [...smoothed, "alpha"],
} as const;

/** What is measured of pairs. Any loss on them may be given all of it: `trainDpo` measures once for several losses. */
const measures = ["chosen", "rejected", "refChosen", "refRejected", "chosenTokens", "rejectedTokens", "nll"];
const ofRows = ["policy", "reference", "labels", "beta", "desirableWeight", "undesirableWeight"];

/** All that each other loss takes. */
const others = {
  bradleyTerry: ["chosen", "rejected", "margin", "centering"],
  kto: [...ofRows, "kl"],
  apoZeroUnpaired: ofRows,
  ktoKl: ["policy", "reference"],
};

const known: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(
    Object.entries(pairSettings).map(([name, settings]) => [name, [...measures, ...settings]]),
  ),
  ...others,
};

/** Throws ConfigError for a name that the loss doesn't know, with the nearest, and for a beta that is not above 0. */
export function checkInputs(name: keyof typeof pairSettings | keyof typeof others, inputs: object): void {
  refuseUnknown(name, inputs, known[name]!);
  const { beta } = inputs as { beta?: number };
  if (beta !== undefined) checkBeta(name, beta);
}
