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

type Options = z.output<z.ZodObject<typeof optimizerOptions>> & { steps: number };

/** `updates`: of one step. */
export function optimizerFrom(options: Options, updates: number): Optimizer {
  const { clip, weightDecay } = options;
  const rule = adamw({
    lr: learningRate(options, updates),
    betas: [0.9, 0.95],
    weightDecay,
    decay: (_, shape) => shape.length > 1,
  });
  return clip === 0 ? rule : chain(clipByGlobalNorm(clip), rule);
}

/** Optimizers count updates, of which a step may have several. */
function learningRate(
  { lr, minLr = lr / 10, steps, ...options }: Options,
  updates: number,
): schedule.Schedule {
  const { warmupSteps: warmup = Math.floor(steps / 20) } = options;
  if (warmup > steps)
    throw new UsageError(`--warmup-steps is ${warmup}, at most the ${steps} steps of the run was needed`);
  if (minLr > lr) throw new UsageError(`--min-lr is ${minLr}, at most the lr of ${lr} was needed`);
  const way = (steps - warmup) * updates;
  const after = {
    constant: () => schedule.constant(lr),
    linear: () => schedule.linear(lr, minLr, way),
    cosine: () => schedule.cosine(lr, minLr, way),
  }[options.schedule]();
  return schedule.join([schedule.linear(0, lr, warmup * updates), after], [warmup * updates]);
}
