// B rows, M mismatched documents
import { ConfigError } from "../core/errors.ts";
import { checkNumber, refuseUnknown } from "../core/options.ts";
import { withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { scale } from "../ops/add.ts";
import { multiply } from "../ops/binary.ts";
import { segmentSum, sum } from "../ops/segment_sum.ts";
import { type LabelledBatch, labelledBatches } from "../text/alignment_batches.ts";
import { type LabelledRows, readLabelled } from "../text/alignment_rows.ts";
import { sliceDocuments, type TokenBatch } from "../text/token_batch.ts";
import {
  type AlignmentOptions,
  alignmentKeys,
  needRows,
  readRows,
  rowsSha256,
  trainAlignment,
} from "./alignment.ts";
import { logProbs, targetLogProbs, withRouterLoss } from "./loss.ts";
import type { StepMetrics } from "./metrics.ts";
import { apoZeroUnpaired, kto, ktoKl } from "./preference/kto.ts";
import { listOf, subtract } from "./preference/pair.ts";
import { defaultParams, defaultReference, type Reference, referencePass } from "./reference.ts";
import type { MeasuredLoss, Metric } from "./step.ts";

export interface KtoOptions extends AlignmentOptions<LabelledBatch, LabelledRows> {
  /** "kto", or "apoZeroUnpaired", which estimates no KL. Default "kto". */
  loss?: "kto" | "apoZeroUnpaired";
  /** Default 0.1. */
  beta?: number;
  /** Weights of wanted and unwanted rows; weight × count should be about the same for both. Default 1. */
  desirableWeight?: number;
  undesirableWeight?: number;
  /** Default: the model without its adapter, if it has one, or else "initial", a copy of the parameters. */
  reference?: Reference;
}

const keys = [...alignmentKeys, "loss", "beta", "desirableWeight", "undesirableWeight", "reference"];

/**
 * Trains on completions that are each wanted or not, by Kahneman–Tversky optimization (Ethayarajh et al. 2024). Rows are
 * `{ prompt, completion, label }`; preference rows count as two. The KL term is estimated, without a gradient, from each
 * batch's prompts with the completion of the row before. Metrics: kl/z, rewards/{chosen, rejected, margins} and
 * logps/{chosen, rejected} of the rows of either kind that a batch has.
 * @throws FormatError, with its line, for a row of another kind; ConfigError if less than two rows are left.
 */
export async function* trainKto(options: KtoOptions): AsyncGenerator<StepMetrics, void, void> {
  const name = "trainKto";
  refuseUnknown(name, options, keys);
  const { model, batchSize = 8, shuffle = true, seed = 0, loss = "kto" } = options;
  const { maxLength = model.config.maxPositionEmbeddings } = options;
  const { beta = 0.1, desirableWeight = 1, undesirableWeight = 1 } = options;
  if (loss !== "kto" && loss !== "apoZeroUnpaired")
    throw new ConfigError(`${name}: loss is "${loss}", kto or apoZeroUnpaired was needed`, "loss");
  const read = await readRows(name, options, readLabelled);
  const { labelled } = read;
  needRows(name, labelled, read.dropped, 2);
  const weights = { beta, desirableWeight, undesirableWeight };
  checkNumber(name, { desirableWeight, undesirableWeight }, 0);
  const { params = defaultParams(model), reference: wanted = defaultReference(model) } = options;
  const reference = referencePass(name, model, params, wanted, logProbs);
  const pass = new Pass(options, { ...weights, loss }, reference.run);
  try {
    const steps = trainAlignment(name, options, {
      source: labelledBatches(labelled, { batchSize, seed, shuffle, maxLength }),
      objective: {
        count: ({ labels }) => labels.length,
        loss: (batch, whole) => pass.loss(batch, batch.labels.length / whole),
      },
      state: reference.snapshot?.tensors,
      fingerprint: { batchSize, data: rowsSha256(labelled), loss, ...weights },
    });
    for await (const m of steps) yield withMargin(m);
  } finally {
    reference.snapshot?.dispose();
  }
}

class Pass {
  constructor(
    private readonly options: KtoOptions,
    private readonly settings: Required<
      Pick<KtoOptions, "loss" | "beta" | "desirableWeight" | "undesirableWeight">
    >,
    private readonly reference: (batch: TokenBatch) => Tensor,
  ) {}

  /** `share`: of the rows of the whole step. */
  loss(batch: LabelledBatch, share: number): MeasuredLoss {
    const { model, recompute = false } = this.options;
    const { loss: which, ...weights } = this.settings;
    const { labels } = batch;
    const B = labels.length;
    const rows = sliceDocuments(batch, 0, B);
    const estimates = which === "kto";
    const reference = this.reference(estimates ? batch : rows);
    const kl = estimates
      ? ktoKl({
          policy: withoutGrad(() => logProbs(model, sliceDocuments(batch, B, 2 * B))),
          reference: reference.view([B], B),
        })
      : undefined;
    const tokens = targetLogProbs(model, rows, { recompute });
    const inputs = {
      policy: segmentSum(tokens.logProbs, tokens.starts),
      reference: reference.view([B]),
      labels,
      ...weights,
    };
    const value = kl ? kto({ ...inputs, kl }) : apoZeroUnpaired(inputs);
    const { loss, auxLoss, zLoss } = withRouterLoss(
      scale(value, share),
      tokens.routings,
      this.options,
      share,
    );
    return { loss, metrics: { auxLoss, zLoss, ...(kl && { "kl/z": kl }), ...measure(inputs, weights.beta) } };
  }
}

/** Rewards and log-probabilities of the rows of either kind, where there are any. */
function measure(
  { policy, reference, labels }: { policy: Tensor; reference: Tensor; labels: readonly boolean[] },
  beta: number,
): Record<string, Metric> {
  return withoutGrad(() => {
    const rewards = scale(subtract(policy, reference), beta);
    const metrics: Record<string, Metric> = {};
    for (const [kind, wanted] of [
      ["chosen", true],
      ["rejected", false],
    ] as const) {
      const count = labels.filter((label) => label === wanted).length;
      if (count === 0) continue;
      const mine = Float32Array.from(labels, (label) => (label === wanted ? 1 : 0));
      const over = (x: Tensor): Metric => ({ sum: sum(multiply(x, listOf(x, mine))), count });
      metrics[`rewards/${kind}`] = over(rewards);
      metrics[`logps/${kind}`] = over(policy);
    }
    return metrics;
  });
}

/** How much higher the rewards of wanted rows are, in a step that has both kinds. */
function withMargin(m: StepMetrics): StepMetrics {
  const { "rewards/chosen": chosen, "rewards/rejected": rejected } = m;
  return chosen === undefined || rejected === undefined ? m : { ...m, "rewards/margins": chosen - rejected };
}
