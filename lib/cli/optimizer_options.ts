import { z } from "zod";
import { adamw, chain, clipByGlobalNorm, type Optimizer, schedule } from "../index.ts";
import { UsageError } from "./options.ts";

/** Of alignment, which changes a trained model a little. */
export const alignmentLr = (value: number) =>
  z
    .number()
    .min(0)
    .default(value)
    .describe("highest learning rate; an adapter wants about ten times as much as all weights");

/** AdamW, its learning rate over time, and clipping. */
export const optimizerOptions = {
  lr: z.number().min(0).default(3e-4).describe("highest learning rate"),
  minLr: z
    .number()
    .min(0)
    .optional()
    .describe("learning rate at the end, unless constant; default: a tenth of lr"),
  warmupSteps: z
    .int()
    .min(0)
    .optional()
    .describe("updates until lr is reached; default: a twentieth of steps"),
  schedule: z.enum(["constant", "linear", "cosine"]).default("cosine").describe("way from lr to min-lr"),
  weightDecay: z.number().min(0).default(0.1).describe("AdamW's weight decay, on matrices only"),
  clip: z.number().min(0).default(1).describe("largest norm of all gradients together; 0: no limit"),
};

type Options = Omit<z.output<z.ZodObject<typeof optimizerOptions>>, "schedule"> & {
  schedule: "constant" | "linear" | "cosine" | "rewarm";
  steps: number;
};

/** Where the rate's way lies among the updates. */
export interface RateWay {
  /** Steps that another run has done before: the way begins after them. */
  first?: number;
  /** Steps of each stage that warms up again. */
  stages?: readonly number[];
}

/** `updates`: of one step. */
export function optimizerFrom(options: Options, updates: number, way: RateWay = {}): Optimizer {
  const { clip, weightDecay } = options;
  const rule = adamw({
    lr: learningRate(options, updates, way),
    betas: [0.9, 0.95],
    weightDecay,
    decay: (_, shape) => shape.length > 1,
  });
  return clip === 0 ? rule : chain(clipByGlobalNorm(clip), rule);
}

/** Optimizers count updates, of which a step may have several. */
function learningRate(
  { lr, minLr = lr / 10, warmupSteps, ...options }: Options,
  updates: number,
  { first = 0, stages }: RateWay,
): schedule.Schedule {
  const steps = options.steps - first;
  const warmupOf = (own: number): number => {
    const warmup = warmupSteps ?? Math.floor(own / 20);
    if (warmup <= own) return warmup;
    const what = first > 0 || stages ? `${own} steps that it warms up for` : `${own} steps of the run`;
    throw new UsageError(`--warmup-steps is ${warmup}, at most the ${what} was needed`);
  };
  if (minLr > lr) throw new UsageError(`--min-lr is ${minLr}, at most the lr of ${lr} was needed`);
  if (options.schedule === "rewarm") {
    const all = (stages ?? [options.steps]).map((own) => ({
      peak: lr,
      min: minLr,
      warmupSteps: warmupOf(own) * updates,
      steps: own * updates,
    }));
    return schedule.rewarm(all);
  }
  const warmup = warmupOf(steps);
  const way = (steps - warmup) * updates;
  const after = {
    constant: () => schedule.constant(lr),
    linear: () => schedule.linear(lr, minLr, way),
    cosine: () => schedule.cosine(lr, minLr, way),
  }[options.schedule]();
  const whole = schedule.join([schedule.linear(0, lr, warmup * updates), after], [warmup * updates]);
  return first === 0 ? whole : schedule.join([schedule.constant(lr), whole], [first * updates]);
}
