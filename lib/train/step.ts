import { ConfigError } from "../core/errors.ts";
import { withRandomStreams } from "../core/random.ts";
import { keep, scope } from "../core/scope.ts";
import { disposeAll, valueAndGrad, withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Model } from "../models/model.ts";
import { add, scale } from "../ops/add.ts";
import type { Routing } from "../ops/router.ts";
import type { OptimizerRun } from "../optim/optimizer_run.ts";
import { sourceParts, type TokenBatch, targetCount } from "../text/token_batch.ts";
import type { SourceLoss } from "./loss.ts";
import type { PendingMetrics } from "./metrics.ts";

/** What is reported: a mean over the batch, [1]; or a sum over `count` things that not every batch has as many of. */
export type Metric = Tensor | { sum: Tensor; count: number };

/** A loss, scalar [1], and what else is worth reporting of it. */
export interface MeasuredLoss {
  loss: Tensor;
  metrics?: Readonly<Record<string, Metric | undefined>>;
  /** Of a batch with several sources: means over each one's targets. */
  sources?: readonly SourceLoss[];
  /** Of each sparse layer: what `balance` goes by. */
  routings?: readonly Routing[];
}

/** What is trained for. */
export interface Objective<B extends TokenBatch = TokenBatch> {
  /**
   * The share that one part of a step's batch has in the loss of the whole: the part's sum over `whole`, the count of all
   * parts together.
   */
  loss(batch: B, whole: number): MeasuredLoss;
  /** What a batch counts by: targets, pairs, … Default: its targets. */
  count?(batch: B): number;
  /** Called after the update with what each sparse layer chose, [T, K], in each part of the step's batch. */
  balance?(parts: readonly (readonly Tensor[])[]): void;
}

type Tensors = Readonly<Record<string, Tensor>>;

/** Random streams a step may draw. */
const streamsPerStep = 2 ** 20;

/**
 * One training step (house.md §7): forward and backward over the parts of a batch, gradients added up, one update. The
 * loss divides by the count of all parts together, so that the way a batch is cut doesn't matter where a loss is a sum over what is
 * counted. Only scalars survive.
 */
export class TrainStep<B extends TokenBatch = TokenBatch> {
  private checked = false;
  private readonly count: (batch: B) => number;

  constructor(
    private readonly model: Model,
    private readonly params: Tensors,
    private readonly objective: Objective<B>,
    private readonly seed: number,
  ) {
    this.count = objective.count ?? targetCount;
  }

  /**
   * Enqueues step number `step`, counted from 1, and returns without waiting. `round` decides what dropout draws, where a step has
   * several updates. Throws ConfigError, before anything changes,
   * if the first step doesn't use all of the parameters.
   */
  run(step: number, batches: readonly B[], optimizer: OptimizerRun, round = step): PendingMetrics {
    const startedMs = performance.now();
    this.model.device.step = step;
    const { totals, shares, grads, read, chosen } = this.gradients(round, batches);
    let update: { lr: number; gradNorm: Tensor };
    try {
      if (!this.checked) refuseUnread(this.params, read);
      this.checked = true;
      update = scope(() => optimizer.step(grads));
      this.objective.balance?.(chosen);
    } catch (error) {
      disposeAll(totals);
      throw error;
    } finally {
      disposeAll(grads, chosen);
    }
    const { lr, gradNorm } = update;
    const tokens = batches.reduce((n, batch) => n + batch.tokens.length, 0);
    const scalars = readAll({ ...totals, gradNorm }, shares);
    const finishedMs = scalars.then(() => performance.now());
    finishedMs.catch(() => undefined); // whoever waits for the scalars sees it
    return { step, lr, tokens, startedMs, scalars, finishedMs };
  }

  /** Forward and backward only: gradients, loss and its parts, summed over `batches`, and which parameters were read. */
  gradients(
    step: number,
    batches: readonly B[],
  ): {
    totals: Record<string, Tensor>;
    /** The shares of the parts that a metric is the sum of: those that have it. */
    shares: Readonly<Record<string, number>>;
    grads: Record<string, Tensor>;
    read: ReadonlySet<Tensor>;
    /** Experts of each part's sparse layers, where the objective balances. */
    chosen: Tensor[][];
  } {
    const whole = batches.reduce((n, batch) => n + this.count(batch), 0);
    const ofSources = targetsOfSources(batches);
    const sums = new Sums();
    const read = new Set<Tensor>();
    const chosen: Tensor[][] = [];
    let grads: Record<string, Tensor> | undefined;
    try {
      withRandomStreams({ seed: this.seed, first: step * streamsPerStep }, () => {
        for (const batch of batches) {
          const pass = valueAndGrad(this.params, () => this.partLoss(batch, whole, ofSources, sums, chosen), {
            read,
            ...(grads && { into: grads }),
          });
          grads = pass.grads;
          sums.add("loss", pass.value);
        }
      });
    } catch (error) {
      disposeAll(sums.totals, grads, chosen);
      throw error;
    }
    return { totals: sums.totals, shares: sums.shares, grads: grads!, read, chosen };
  }

  private partLoss(
    batch: B,
    whole: number,
    ofSources: ReadonlyMap<string, number>,
    sums: Sums,
    chosen: Tensor[][],
  ): Tensor {
    const { loss, metrics = {}, sources = [], routings = [] } = this.objective.loss(batch, whole);
    if (this.objective.balance) chosen.push(routings.map(({ experts }) => keep(experts)));
    const share = this.count(batch) / whole;
    for (const [name, value] of Object.entries(metrics)) {
      if (value === undefined) continue;
      if ("count" in value) sums.add(name, keep(value.sum), value.count);
      else sums.add(name, keep(withoutGrad(() => scale(value, share))), share);
    }
    for (const { name, targets, crossEntropy } of sources) {
      const part = targets / ofSources.get(name)!;
      sums.add(`loss/${name}`, keep(withoutGrad(() => scale(crossEntropy, part))));
    }
    return loss;
  }
}

/** How many targets each source has in all of the batches. */
function targetsOfSources(batches: readonly TokenBatch[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { name, targets } of batches.flatMap(sourceParts))
    counts.set(name, (counts.get(name) ?? 0) + targets);
  return counts;
}

function refuseUnread(params: Tensors, read: ReadonlySet<Tensor>): void {
  const names = Object.keys(params);
  const unread = names.filter((name) => !read.has(params[name]!.root));
  if (unread.length === 0) return;
  throw new ConfigError(
    `train: the model doesn't use ${unread.length} of ${names.length} params, first ${unread[0]}: no gradient reaches them.` +
      " Is the adapter on, and are they this model's?",
    "params",
  );
}

/** Scalars added up over the parts of a step. It owns what it is given. */
class Sums {
  readonly totals: Record<string, Tensor> = {};
  readonly shares: Record<string, number> = {};

  /** `share`: what a metric is to be divided by in the end, of this part. */
  add(name: string, value: Tensor, share?: number): void {
    if (share !== undefined) this.shares[name] = (this.shares[name] ?? 0) + share;
    const before = this.totals[name];
    if (before === undefined) {
      this.totals[name] = value;
      return;
    }
    this.totals[name] = keep(withoutGrad(() => add(before, value)));
    disposeAll(before, value);
  }
}

/** Reads scalars; those that have shares are sums of means by share, and are divided by them. */
function readAll(
  scalars: Tensors,
  shares: Readonly<Record<string, number>>,
): Promise<Record<string, number>> {
  const names = Object.keys(scalars);
  const reads = Promise.all(names.map((name) => scalars[name]!.item()));
  disposeAll(scalars); // the reads are enqueued: the memory may go
  const values = reads.then((read) =>
    Object.fromEntries(names.map((name, i) => [name, read[i]! / (shares[name] ?? 1)])),
  );
  values.catch(() => undefined); // whoever waits for the step sees it
  return values;
}
