import { scope } from "../core/scope.ts";
import { disposeAll, withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Model } from "../models/model.ts";
import type { OptimizerRun } from "../optim/optimizer_run.ts";
import { type BatchSource, sourceParts, type TokenBatch, targetCount } from "../text/token_batch.ts";
import type { Work } from "./loop.ts";
import type { PendingMetrics } from "./metrics.ts";
import type { PhasePlan } from "./phases.ts";
import { type Metric, type Objective, TrainStep } from "./step.ts";

interface BatchStepOptions<B extends TokenBatch> {
  model: Model;
  params?: Record<string, Tensor>;
  objective: Objective<B>;
  source: BatchSource<B>;
  /** Batches of an update. Default 1. */
  accumulationSteps?: number;
  seed?: number;
  phases?: PhasePlan | undefined;
  /** Tensors besides parameters that a checkpoint has to hold. */
  state?: Work<B>["state"];
  /** Default: the means of the objective's loss and metrics. */
  validate?: Work<B>["validate"];
  forgets?: boolean;
}

/** The work of a trainer whose steps are batches of a source, each an update. */
export function batchSteps<B extends TokenBatch>(options: BatchStepOptions<B>): Work<B> {
  const { model, params = model.params, objective, source, phases } = options;
  const { accumulationSteps = 1, seed = 0, forgets = false } = options;
  const step = new TrainStep(model, params, objective, seed);
  /** The batches of the steps that may still fail. */
  const recent = new Map<number, readonly B[]>();
  /** Tokens of each source so far. */
  const tokens: Record<`tokens/${string}`, number> = {};
  return {
    forgets,
    numbers: tokens,
    fingerprint: { seed, accumulationSteps, ...source.fingerprint },
    state: options.state,
    async run(number: number, optimizer: OptimizerRun): Promise<PendingMetrics> {
      const batches: B[] = [];
      for (let i = 0; i < accumulationSteps; i++)
        batches.push(await source.batch((number - 1) * accumulationSteps + i));
      recent.set(number, batches);
      recent.delete(number - 2);
      const phase = phases?.at(number);
      if (phase?.resets) optimizer.reset();
      const pending = step.run(number, batches, optimizer);
      for (const { name, from, to } of batches.flatMap(sourceParts))
        tokens[`tokens/${name}`] = (tokens[`tokens/${name}`] ?? 0) + to - from;
      return { ...pending, counts: { ...tokens }, ...(phase && { phase: phase.name }) };
    },
    repeat(number: number): void {
      const { totals, grads, chosen } = step.gradients(number, recent.get(number)!);
      disposeAll(totals, grads, chosen);
    },
    validate: options.validate ?? ((batches) => measure(objective, batches)),
  };
}

/** Means of an objective's loss and metrics over the batches that have them, without a gradient. */
export async function measure<B extends TokenBatch>(
  { loss, count = targetCount }: Objective<B>,
  batches: readonly B[],
): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  const counts: Record<string, number> = {};
  for (const batch of batches) {
    const own = count(batch);
    const measured = withoutGrad(() =>
      scope(() => {
        const { loss: value, metrics = {} } = loss(batch, own);
        return { loss: value, ...metrics } as Record<string, Metric | undefined>;
      }),
    );
    const present = Object.entries(measured).flatMap(([name, value]) => {
      if (value === undefined) return [];
      return "count" in value ? [{ name, ...value }] : [{ name, sum: value, count: own, mean: true }];
    });
    const values = await Promise.all(present.map(({ sum }) => sum.item()));
    disposeAll(measured);
    present.forEach(({ name, count: of, ...rest }, i) => {
      sums[name] = (sums[name] ?? 0) + values[i]! * ("mean" in rest ? of : 1);
      counts[name] = (counts[name] ?? 0) + of;
    });
  }
  return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / counts[name]!]));
}
