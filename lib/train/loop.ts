import { ConfigError, DeviceError } from "../core/errors.ts";
import { checkWhole, refuseUnknown } from "../core/options.ts";
import { run } from "../core/run.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Model } from "../models/model.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import type { OptimizerRun } from "../optim/optimizer_run.ts";
import type { TokenBatch } from "../text/token_batch.ts";
import {
  type CheckpointOptions,
  checkCheckpointOptions,
  checkpointSteps,
  forkCheckpoint,
  forkStep,
  loadCheckpoint,
  type RunState,
  saveCheckpoint,
} from "./checkpoint.ts";
import { expertLoad } from "./evaluate.ts";
import type { PendingMetrics, StepMetrics } from "./metrics.ts";

/** What every trainer takes. */
export interface TrainOptions<B extends TokenBatch = TokenBatch> {
  model: Model;
  /** What trains. Default: all of the model's parameters. An adapter's: `adapter.params`. */
  params?: Record<string, Tensor>;
  optimizer: Optimizer;
  /** Updates to do in all, those of a resumed checkpoint included: a run that is through goes on with more of them. */
  steps: number;
  /** Batches that are added up for one update. Default 1. */
  accumulationSteps?: number;
  /** Decides dropout. Default 0. */
  seed?: number;
  checkpoint?: CheckpointOptions;
  /** Mean loss on other batches, by name, every so many updates (0: never), and after the last. */
  validation?: { every: number; sets: Readonly<Record<string, readonly B[]>> };
  /** Ends the run after the step that is running, and saves a checkpoint if `checkpoint` is given. */
  signal?: AbortSignal;
}

/** The keys of TrainOptions. */
export const trainKeys = [
  "model",
  "params",
  "optimizer",
  "steps",
  "accumulationSteps",
  "seed",
  "checkpoint",
  "validation",
  "signal",
] as const;

/** What the steps of a trainer are. */
export interface Work<B extends TokenBatch = TokenBatch> {
  /** What makes these steps these steps: checked when a run is resumed. */
  readonly fingerprint: Readonly<Record<string, unknown>>;
  /** Tensors besides parameters that go into checkpoints, and are filled from them. */
  readonly state?: Readonly<Record<string, Tensor>> | undefined;
  /** The same for numbers. */
  readonly numbers?: Record<string, number> | undefined;
  /**
   * Enqueues step `step`, counted from 1: forward, backward, update. One that waits for more than the device heeds the run's
   * signal and throws its reason: nothing has changed then.
   */
  run(step: number, optimizer: OptimizerRun): Promise<PendingMetrics>;
  /** Enqueues forward and backward of a late step once more, to find where it failed. */
  repeat(step: number): void;
  /** Whether losses on validation sets tell what is forgotten. */
  readonly forgets?: boolean;
  /** Means over `batches`: `loss`, and whatever else is measured. */
  validate?(batches: readonly B[]): Promise<Record<string, number>>;
}

interface LoopOptions<B extends TokenBatch> extends TrainOptions<B> {
  /** The trainer's name, for messages. */
  name: string;
  work: Work<B>;
  /** More of what makes a run this run: checked when it is resumed. */
  fingerprint?: Record<string, unknown>;
}

/** The loop under every trainer: steps, metrics one step late, validation, checkpoints. */
export async function* trainLoop<B extends TokenBatch>(
  options: LoopOptions<B>,
): AsyncGenerator<StepMetrics, void, void> {
  const { name, model, params = model.params, steps, accumulationSteps = 1 } = options;
  const { checkpoint, validation } = options;
  checkWhole(name, { steps, accumulationSteps }, 1);
  if (typeof options.optimizer?.init !== "function")
    throw new ConfigError(
      `${name}: optimizer is ${typeof options.optimizer}, adamw({ … }) or another was needed`,
      "optimizer",
    );
  if (checkpoint) checkCheckpointOptions(name, checkpoint);
  if (validation) {
    refuseUnknown(`${name}, validation`, validation, ["every", "sets"]);
    checkWhole(`${name}, validation`, { every: validation.every }, 0);
    if (!options.work.validate) throw new ConfigError(`${name}: it takes no validation sets`, "validation");
  }
  const optimizer = options.optimizer.init(params);
  try {
    yield* new Loop(options, params, optimizer).run();
  } finally {
    optimizer.dispose();
    model.device.step = -1;
  }
}

class Loop<B extends TokenBatch> {
  private state: RunState;
  private saved = 0;
  private lastMs = 0;

  constructor(
    private readonly options: LoopOptions<B>,
    private readonly params: Record<string, Tensor>,
    private readonly optimizer: OptimizerRun,
  ) {
    this.state = {
      step: 0,
      tokens: 0,
      fingerprint: {
        trainer: options.name,
        ...options.optimizer.fingerprint,
        ...options.work.fingerprint,
        ...options.fingerprint,
      },
    };
  }

  async *run(): AsyncGenerator<StepMetrics, void, void> {
    const { options } = this;
    await this.start();
    await this.measureBefore();
    const first = this.state.step + 1;
    let pending: PendingMetrics | undefined;
    for (let step = first; step <= options.steps && !options.signal?.aborted; step++) {
      const before = pending;
      try {
        pending = await this.guarded(() => options.work.run(step, this.optimizer));
      } catch (error) {
        if (options.signal?.aborted && error === options.signal.reason) break;
        if (!(error instanceof DeviceError)) {
          // Nothing is wrong with the steps before: what they came to is kept.
          if (pending) await this.finish(pending);
          if (this.saved < this.state.step) await this.save();
        }
        throw error;
      }
      if (before) yield await this.finish(before);
      const validates =
        this.isDue(step, options.validation?.every) || (options.validation && step === options.steps);
      const saves = this.isDue(step, options.checkpoint?.every);
      if (!validates && !saves) continue;
      const m = await this.finish(pending);
      pending = undefined;
      const measured = validates ? await this.validate() : undefined;
      if (saves) await this.save();
      yield { ...m, ...measured };
    }
    const m = pending && (await this.finish(pending));
    if (this.saved < this.state.step) await this.save();
    if (m) yield m;
  }

  private isDue(step: number, every: number | undefined): boolean {
    return every !== undefined && every > 0 && step % every === 0;
  }

  private async start(): Promise<void> {
    const { checkpoint, name, steps } = this.options;
    if (!checkpoint) return;
    const { dir, resume, from } = checkpoint;
    const there = await checkpointSteps(dir);
    const begun = there.length > 0;
    if (begun && !resume) {
      throw new ConfigError(
        `${name}: ${dir} holds checkpoints of an earlier run. Resume it, or take another folder`,
        "checkpoint",
      );
    }
    if (!begun && !from) return;
    const done = begun ? there.at(-1)! : await forkStep(from!);
    if (done > steps) {
      throw new ConfigError(
        `${name}: steps is ${steps}, the run in ${begun ? dir : from!.dir} has done ${done} already. Give as many, or more`,
        "steps",
      );
    }
    const { fingerprint } = this.state;
    this.state = begun
      ? await loadCheckpoint({ dir }, fingerprint, this.tensors(), this.optimizer)
      : await forkCheckpoint(from!, fingerprint, this.tensors(), this.optimizer);
    Object.assign(this.options.work.numbers ?? {}, this.state.numbers);
    this.saved = begun ? this.state.step : 0;
  }

  /** Waits for a step's scalars. */
  private async finish(pending: PendingMetrics): Promise<StepMetrics> {
    const { step, lr, tokens, startedMs, counts, phase } = pending;
    const scalars = await this.guarded(() => pending.scalars);
    const { loss = Number.NaN, gradNorm = Number.NaN, ...rest } = scalars;
    // From when the device could begin: a step waits for the one before it, or for whoever reads the metrics.
    const finishedMs = await pending.finishedMs;
    const tokensPerSecond = (tokens * 1000) / (finishedMs - Math.max(startedMs, this.lastMs));
    this.lastMs = finishedMs;
    this.state = { ...this.state, step, tokens: this.state.tokens + tokens };
    const m = { step, loss, lr, gradNorm, tokensPerSecond, tokens: this.state.tokens, ...rest, ...counts };
    return phase === undefined ? m : { ...m, phase };
  }

  /** A checkpoint with NaN in it would be worse than none. Throws DeviceError, naming the parameter. */
  private async requireFinite(): Promise<void> {
    const { name, model } = this.options;
    const { step } = this.state;
    for (const [param, tensor] of Object.entries(this.params)) {
      try {
        run("require_finite", tensor);
        await model.device.ready();
      } catch (error) {
        if (!(error instanceof DeviceError)) throw error;
        model.device.reset();
        throw new DeviceError(
          `${name}: ${param} is not finite after step ${step}: not saved. Is the learning rate too high?`,
          "require_finite",
          param,
          step,
        );
      }
    }
  }

  /** What a checkpoint holds beside the optimizer. */
  private tensors(): Record<string, Tensor> {
    const state = Object.entries(this.options.work.state ?? {});
    return {
      ...this.params,
      ...Object.fromEntries(state.map(([name, tensor]) => [`state.${name}`, tensor])),
    };
  }

  private async save(): Promise<void> {
    const { checkpoint } = this.options;
    const { numbers } = this.options.work;
    const state = { ...this.state, ...(numbers && { numbers: { ...numbers } }) };
    if (!checkpoint) return;
    await this.requireFinite();
    await saveCheckpoint(checkpoint, state, this.tensors(), this.optimizer);
    this.saved = this.state.step;
  }

  /** The loss on each validation set before the first step: what is forgotten counts from there. */
  private async measureBefore(): Promise<void> {
    const { validation, work } = this.options;
    if (!work.forgets || !validation || this.state.step >= this.options.steps) return;
    for (const [name, batches] of Object.entries(validation.sets)) {
      if (this.state.lowest?.[name] !== undefined) continue;
      const { loss = Number.NaN } = await work.validate!(batches);
      this.forgetting(name, loss);
    }
  }

  /** By how much a loss is above the lowest one so far, which it may become. */
  private forgetting(name: string, loss: number): number {
    const before = this.state.lowest?.[name] ?? Number.POSITIVE_INFINITY;
    const lowest = loss < before ? loss : before;
    if (Number.isFinite(lowest))
      this.state = { ...this.state, lowest: { ...this.state.lowest, [name]: lowest } };
    return loss - lowest;
  }

  private async validate() {
    const { model, validation, work } = this.options;
    const measured: Record<string, number> = {};
    const forgetting: Record<`forgetting/${string}`, number> = {};
    for (const [name, batches] of Object.entries(validation!.sets)) {
      const { loss = Number.NaN, ...rest } = await work.validate!(batches);
      measured[name] = loss;
      if (work.forgets) forgetting[`forgetting/${name}`] = this.forgetting(name, loss);
      for (const [what, value] of Object.entries(rest)) measured[`${name}/${what}`] = value;
    }
    const [first] = Object.values(validation!.sets);
    const load = model.config.numExperts > 0 && first?.[0] ? await expertLoad(model, first[0]) : undefined;
    return { validation: measured, ...(load && { expertLoad: load }), ...forgetting };
  }

  /**
   * A failure on the device: the step is run again, each output checked, to say which module gave the first number that
   * isn't finite. No parameter has changed since the last good step.
   */
  private async guarded<T>(work: () => T | Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof DeviceError) || error.op !== "require_finite") throw error;
      const { name, model } = this.options;
      model.device.reset();
      const { step } = error;
      const { op, path } = await this.firstBadOp(step);
      throw new DeviceError(
        `${name}: the loss or its gradient is not finite at step ${step}, first in ${op} at ${path}.` +
          " The parameters are those before that update",
        op,
        path,
        step,
      );
    }
  }

  private async firstBadOp(step: number): Promise<{ op: string; path: string }> {
    const { device } = this.options.model;
    device.checkFinite(true);
    try {
      this.options.work.repeat(step);
      await device.ready();
      return { op: "the sum of squares", path: "gradient norm" };
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      device.reset();
      return { op: error.op, path: error.path || "the loss" };
    } finally {
      device.checkFinite(false);
    }
  }
}
