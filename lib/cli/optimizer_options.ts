import { z } from "zod";
import {
  adam,
  adamw,
  chain,
  clipByGlobalNorm,
  lion,
  loraPlus,
  muon,
  type Optimizer,
  schedule,
  sgd,
} from "../index.ts";
import { UsageError } from "./options.ts";

/** Of alignment, which changes a trained model a little. */
export const alignmentLr = (value: number) =>
  z
    .number()
    .min(0)
    .default(value)
    .describe("highest learning rate; an adapter wants about ten times as much as all weights");

const kOptimizers = ["adamw", "adam", "sgd", "lion", "muon"] as const;

/** The optimizer, its learning rate over time, and clipping. */
export const optimizerOptions = {
  optimizer: z
    .enum(kOptimizers)
    .default("adamw")
    .describe("muon: of the layers' matrices, with AdamW for the rest; lion wants a tenth of AdamW's lr"),
  optimizerStates: z
    .enum(["f32", "8bit"])
    .default("f32")
    .describe("format of the means of adamw, adam and muon's AdamW: 8 bytes a parameter, or 2"),
  momentum: z
    .number()
    .min(0)
    .lt(1)
    .optional()
    .describe("how much of it an update of sgd or muon keeps; default: sgd 0, muon 0.95"),
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
  weightDecay: z
    .number()
    .min(0)
    .optional()
    .describe("weight decay; default: 0.1, with adam and sgd, which add it to the gradient, 0"),
  decayOn: z
    .enum(["layers", "matrices", "all"])
    .default("matrices")
    .describe("what weight decay is for; layers: matrices, but no embedding and no head"),
  clip: z.number().min(0).default(1).describe("largest norm of all gradients together; 0: no limit"),
};

type Options = Omit<z.output<z.ZodObject<typeof optimizerOptions>>, "schedule"> & {
  schedule: "constant" | "linear" | "cosine" | "rewarm";
  steps: number;
  /** Of commands that train adapters. */
  loraPlusRatio?: number | undefined;
};

/** Where the rate's way lies among the updates. */
export interface RateWay {
  /** Steps that another run has done before: the way begins after them. */
  first?: number;
  /** Steps of each stage that warms up again. */
  stages?: readonly number[];
}

/** `updates`: of one step. Throws UsageError for a setting that the optimizer doesn't have. */
export function optimizerFrom(options: Options, updates: number, way: RateWay = {}): Optimizer {
  const { clip, optimizer, optimizerStates: states, momentum, decayOn, loraPlusRatio } = options;
  const { weightDecay = optimizer === "adam" || optimizer === "sgd" ? 0 : 0.1 } = options;
  if (states === "8bit") refuseUnless("--optimizer-states", optimizer, ["adamw", "adam", "muon"]);
  if (momentum !== undefined) refuseUnless("--momentum", optimizer, ["sgd", "muon"]);
  const shared = {
    lr: learningRate(options, updates, way),
    weightDecay,
    decay: kDecays[decayOn],
    ...(loraPlusRatio !== undefined && { groups: loraPlus(loraPlusRatio) }),
  };
  const means = { betas: [0.9, 0.95] as const, states };
  const rule = {
    adamw: () => adamw({ ...shared, ...means }),
    adam: () => adam({ ...shared, ...means }),
    sgd: () => sgd({ ...shared, momentum: momentum ?? 0 }),
    lion: () => lion(shared),
    muon: () => muon({ ...shared, momentum: momentum ?? 0.95, nesterov: momentum !== 0, adamw: means }),
  }[optimizer]();
  return clip === 0 ? rule : chain(clipByGlobalNorm(clip), rule);
}

type Decays = (name: string, shape: readonly number[]) => boolean;
const isMatrix: Decays = (_, shape) => shape.length > 1;
const kDecays: Record<Options["decayOn"], Decays> = {
  layers: (name, shape) => isMatrix(name, shape) && !/embed|lm_head|score/.test(name),
  matrices: isMatrix,
  all: () => true,
};

function refuseUnless(flag: string, optimizer: string, takers: readonly string[]): void {
  if (takers.includes(optimizer)) return;
  throw new UsageError(
    `${flag} is a setting that ${optimizer} doesn't have. Give --optimizer ${takers.join(" or ")} with it`,
  );
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
