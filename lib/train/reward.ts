// P pairs
import { ConfigError } from "../core/errors.ts";
import { checkNumber, refuseUnknown } from "../core/options.ts";
import { withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { bodyParams, type ScoreHead } from "../models/score_head.ts";
import { scale } from "../ops/add.ts";
import { type PairBatch, pairBatches } from "../text/alignment_batches.ts";
import { type Pairs, readPairs } from "../text/alignment_rows.ts";
import {
  type AlignmentOptions,
  alignmentKeys,
  needRows,
  readRows,
  rowsSha256,
  trainAlignment,
} from "./alignment.ts";
import { withRouterLoss } from "./loss.ts";
import type { StepMetrics } from "./metrics.ts";
import { bradleyTerry } from "./preference/bradley_terry.ts";
import { rewardMetrics } from "./reward_metrics.ts";

export interface RewardOptions extends AlignmentOptions<PairBatch, Pairs> {
  /** The head of the model, of `attachRewardHead`. */
  head: ScoreHead;
  /** What trains. Default: an attached adapter's, or else all of the model that a reward depends on; and the head. */
  params?: Record<string, Tensor>;
  /** Weight of (r_chosen + r_rejected)². Default 0. */
  centering?: number;
}

/**
 * Trains a reward model on pairs by the Bradley–Terry loss (Ouyang et al. 2022), with the rows' margins where they have some. The
 * reward is the head's number at the last token. Metrics: rewards/{chosen, rejected, margins, accuracies}.
 * @throws FormatError, with its line, for a row of another kind; ConfigError if no row is left.
 */
export async function* trainReward(options: RewardOptions): AsyncGenerator<StepMetrics, void, void> {
  const name = "trainReward";
  refuseUnknown(name, options, [...alignmentKeys, "head", "centering"]);
  const { model, head, batchSize = 8, shuffle = true, seed = 0, centering = 0, recompute = false } = options;
  const { params = { ...bodyParams(model), ...head.params } } = options;
  checkNumber(name, { centering }, 0);
  if (head?.model !== model) {
    const what = head?.model ? "head is that of another model" : `head is ${typeof head}`;
    throw new ConfigError(
      `${name}: ${what}, attachRewardHead(model) of the model that trains was needed`,
      "head",
    );
  }
  const read = await readRows(name, options, readPairs);
  const { pairs } = read;
  needRows(name, pairs, read.dropped);
  yield* trainAlignment(
    name,
    { ...options, params },
    {
      source: pairBatches(pairs, { batchSize, seed, shuffle }),
      objective: {
        count: (batch) => batch.pairs.length,
        loss: (batch, whole) => {
          const P = batch.pairs.length;
          const { hidden, routings } = model.forward(model.upload(batch), { recompute });
          const rewards = head.rewardsOf(hidden, batch.offsets);
          const both = { chosen: rewards.view([P]), rejected: rewards.view([P], P) };
          const value = bradleyTerry({ ...both, centering, ...(batch.margins && { margin: batch.margins }) });
          const share = P / whole;
          const { loss, auxLoss, zLoss } = withRouterLoss(scale(value, share), routings, options, share);
          return { loss, metrics: { auxLoss, zLoss, ...withoutGrad(() => rewardMetrics(both)) } };
        },
      },
      fingerprint: { batchSize, data: rowsSha256(pairs), centering },
    },
  );
}
