// P pairs, T tokens
import { ConfigError } from "../core/errors.ts";
import { checkNumber, refuseUnknown } from "../core/options.ts";
import { withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Model } from "../models/model.ts";
import { scale, weightedSum } from "../ops/add.ts";
import { multiply } from "../ops/binary.ts";
import { segmentSum, sum } from "../ops/segment_sum.ts";
import { type PairBatch, pairBatches } from "../text/alignment_batches.ts";
import { type Pairs, readPairs } from "../text/alignment_rows.ts";
import { targetPlaces } from "../text/token_batch.ts";
import {
  type AlignmentOptions,
  alignmentKeys,
  needRows,
  readRows,
  rowsSha256,
  trainAlignment,
} from "./alignment.ts";
import { checkpointSteps } from "./checkpoint.ts";
import { targetLogProbs, temperedLogProbs, withRouterLoss } from "./loss.ts";
import type { StepMetrics } from "./metrics.ts";
import {
  type PairLoss,
  type PairLossFunction,
  type PairLossName,
  type PairLossSettings,
  type PairMeasures,
  pairLossNamed,
} from "./pair_losses.ts";
import { initialReference } from "./pair_reference.ts";
import { completionWeights, targetCounts, withPromptTargets } from "./pair_tokens.ts";
import { listOf, logRatios, perToken } from "./preference/pair.ts";
import { defaultParams, defaultReference, type Reference, referencePass } from "./reference.ts";
import { rewardMetrics } from "./reward_metrics.ts";
import type { MeasuredLoss } from "./step.ts";

/** One of the losses by name, one of your own, or several, weighted and added (Wang et al. 2024, MPO). */
export type PairLossChoice =
  | PairLossName
  | (string & {})
  | PairLossFunction
  | readonly { loss: PairLossName | (string & {}); weight: number }[];

export interface DpoOptions extends AlignmentOptions<PairBatch, Pairs>, PairLossSettings {
  /** Default "dpo". */
  loss?: PairLossChoice;
  /** Default: the model without its adapter, if it has one, or else "initial". Losses without a reference refuse one. */
  reference?: Reference;
  /** Weight of the tokens beyond the length that chosen and rejected share (LD-DPO). Default 1. */
  ldAlpha?: number;
}

const settingKeys = [
  "beta",
  "labelSmoothing",
  "divergence",
  "tau",
  "gamma",
  "gammaBetaRatio",
  "alpha",
] as const;
const keys = [...alignmentKeys, ...settingKeys, "loss", "reference", "ldAlpha"];

/**
 * Trains on preferences without a reward model: DPO (Rafailov et al. 2023) and its family, on pairs of completions. Chosen and
 * rejected go through the model in one packed pass. Metrics: rewards/{chosen, rejected, margins, accuracies} (rewards are
 * β times the log-ratios), logps/{chosen, rejected}, policy/entropy (of the tokens that are predicted).
 * @throws FormatError, with its line, for a row of another kind; ConfigError for a setting that the loss doesn't take, for an
 * unknown loss, and if no row is left.
 */
export async function* trainDpo(options: DpoOptions): AsyncGenerator<StepMetrics, void, void> {
  const name = "trainDpo";
  refuseUnknown(name, options, keys);
  const { model, batchSize = 8, shuffle = true, seed = 0, ldAlpha = 1, checkpoint } = options;
  const terms = termsOf(options);
  checkNumber(name, { ldAlpha }, 0, 1);
  for (const { weight } of terms) checkNumber(name, { "a loss's weight": weight }, 0);
  const referenced = terms.some(({ loss }) => loss.referenced);
  if (!referenced && options.reference !== undefined) {
    throw new ConfigError(`${name}: ${terms[0]!.name} reads no reference, and one was given`, "reference");
  }
  const read = await readRows(name, options, readPairs);
  const { pairs } = read;
  needRows(name, pairs, read.dropped);
  const policy = new Policy(options, terms);
  const reference = referenced ? (options.reference ?? defaultReference(model)) : undefined;
  const data = rowsSha256(pairs);
  let referenceLogProbs: ((batch: PairBatch) => Tensor) | undefined;
  if (reference === "initial") {
    const batches = Object.values(options.validation?.sets ?? {}).flat();
    const dir = checkpoint?.dir;
    const resumes = checkpoint?.resume === true && (await checkpointSteps(checkpoint.dir)).length > 0;
    const { signal } = options;
    const keys = {
      pairs: JSON.stringify({ data, ldAlpha }),
      validation: JSON.stringify({ batches: batchesSha256(batches), ldAlpha }),
    };
    const pass = policy.logProbs;
    const sums = await initialReference(model, pairs, batches, {
      pass,
      batchSize,
      dir,
      resumes,
      keys,
      signal,
    }).catch((error: unknown) => {
      if (signal?.aborted && error === signal.reason) return undefined;
      throw error;
    });
    if (sums === undefined) return;
    referenceLogProbs = (batch) => {
      const values = sums(batch);
      return model.device.tensor(values, [values.length]);
    };
  } else if (reference !== undefined) {
    const { params = defaultParams(model) } = options;
    referenceLogProbs = referencePass(name, model, params, reference, policy.logProbs).run;
  }
  yield* trainAlignment(name, options, {
    source: pairBatches(pairs, { batchSize, seed, shuffle }),
    objective: {
      count: (batch) => batch.pairs.length,
      loss: (batch, whole) => policy.loss(batch, referenceLogProbs?.(batch), batch.pairs.length / whole),
    },
    fingerprint: { batchSize, data, ldAlpha, loss: lossFingerprint(options), ...settingsOf(options) },
  });
}

const batchesSha256 = (batches: readonly PairBatch[]): string =>
  rowsSha256(
    batches.map(({ tokens, targets, offsets }) => [tokens, targets, offsets].map((ids) => [...ids])),
  );

interface Term {
  name: string;
  loss: PairLoss;
  weight: number;
}

/** The losses asked for. Throws ConfigError for unknown ones, and for settings that none of them takes. */
function termsOf(options: DpoOptions): Term[] {
  const { loss: choice = "dpo" } = options;
  if (typeof choice === "function") {
    const own = { compute: choice, takes: settingKeys, beta: 0.1, referenced: true };
    return [{ name: "a loss of your own", loss: own, weight: 1 }];
  }
  const asked = typeof choice === "string" ? [{ loss: choice, weight: 1 }] : choice;
  if (asked.length === 0) throw new ConfigError("trainDpo: loss is an empty list, one was needed", "loss");
  const terms = asked.map(({ loss, weight }) => ({ ...pairLossNamed(loss), weight }));
  const names = terms.map(({ name }) => name).join(", ");
  for (const key of Object.keys(settingsOf(options)) as (keyof PairLossSettings)[]) {
    if (terms.some(({ loss }) => loss.takes.includes(key))) continue;
    const taken = [...new Set(terms.flatMap(({ loss }) => loss.takes))].join(", ") || "no setting";
    throw new ConfigError(`trainDpo: ${key} is no setting of ${names}, which takes ${taken}`, key);
  }
  if (new Set(terms.map(({ loss }) => loss.nll).filter(Boolean)).size > 1)
    throw new ConfigError(`trainDpo: ${names} take the likelihood over different tokens`, "loss");
  return terms;
}

/** The settings that are given, of those that a loss takes. */
const settingsOf = (
  options: DpoOptions,
  takes: readonly (keyof PairLossSettings)[] = settingKeys,
): PairLossSettings =>
  Object.fromEntries(takes.filter((key) => options[key] !== undefined).map((key) => [key, options[key]]));

const lossFingerprint = ({ loss = "dpo" }: DpoOptions): unknown =>
  typeof loss === "function" ? `function ${loss.name}` : loss;

/** What the model says of pairs, and the loss of that. */
class Policy {
  private readonly model: Model;
  private readonly wholeChosen: boolean;

  constructor(
    private readonly options: DpoOptions,
    private readonly terms: readonly Term[],
  ) {
    this.model = options.model;
    this.wholeChosen = terms.some(({ loss }) => loss.nll === "sequence");
  }

  /** Summed log-probabilities of all completions, [2P]: the chosen ones, then the rejected ones. */
  readonly logProbs = (model: Model, batch: PairBatch): Tensor => {
    const { logProbs, starts } = targetLogProbs(model, batch);
    return segmentSum(this.weighted(logProbs, batch, batch), starts);
  };

  private weighted(logProbs: Tensor, batch: PairBatch, input: PairBatch): Tensor {
    const { ldAlpha = 1 } = this.options;
    if (ldAlpha === 1 && input === batch) return logProbs;
    return multiply(logProbs, listOf(logProbs, completionWeights(batch, input, ldAlpha)));
  }

  /** `share`: of the pairs of the whole step. */
  loss(batch: PairBatch, reference: Tensor | undefined, share: number): MeasuredLoss {
    const { model, options, terms } = this;
    const P = batch.pairs.length;
    const input = this.wholeChosen ? withPromptTargets(batch) : batch;
    const { recompute = false } = options;
    const { logProbs, entropy, starts, routings } = temperedLogProbs(model, input, { recompute });
    const sums = segmentSum(this.weighted(logProbs, batch, input), starts);
    const counts = model.device.tensor(targetCounts(batch), [2 * P]);
    const halves = (x: Tensor): [Tensor, Tensor] => [x.view([P], 0), x.view([P], P)];
    const [chosen, rejected] = halves(sums);
    const [refChosen, refRejected] = halves(reference ?? model.device.full([2 * P], 0));
    const [chosenTokens, rejectedTokens] = halves(counts);
    const measures: PairMeasures = { chosen, rejected, refChosen, refRejected, chosenTokens, rejectedTokens };
    if (terms.some(({ loss }) => loss.nll)) {
      const tokens = targetPlaces(input).starts[P]!;
      measures.nll = scale(sum(logProbs.view([tokens])), -1 / tokens);
    }
    const total = weightedSum(
      terms.map(({ loss, weight }) => ({
        value: loss.compute({ ...measures, ...settingsOf(options, loss.takes) }),
        weight: weight * share,
      })),
    );
    const { loss, auxLoss, zLoss } = withRouterLoss(total, routings, options, share);
    const entropies = { sum: withoutGrad(() => sum(entropy)), count: entropy.size };
    return { loss, metrics: { auxLoss, zLoss, "policy/entropy": entropies, ...this.metrics(measures) } };
  }

  private metrics(measures: PairMeasures): Record<string, Tensor> {
    const { loss } = this.terms[0]!;
    const { beta = loss.beta } = this.options;
    return withoutGrad(() => {
      const { chosen, rejected } = loss.referenced ? logRatios(measures) : measures;
      const of = (x: Tensor, tokens: Tensor): Tensor => scale(loss.averages ? perToken(x, tokens) : x, beta);
      return rewardMetrics(
        { chosen: of(chosen, measures.chosenTokens), rejected: of(rejected, measures.rejectedTokens) },
        measures,
      );
    });
  }
}
