import path from "node:path";
import type { Adapter } from "../adapters/adapter.ts";
import { attachDora, attachLora } from "../adapters/attach.ts";
import { saveAdapter } from "../adapters/peft_format.ts";
import type { Model } from "../models/model.ts";
import { saveModel } from "../models/save.ts";
import { adamw } from "../optim/adamw.ts";
import { chain } from "../optim/chain.ts";
import { clipByGlobalNorm } from "../optim/clip.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import * as schedule from "../optim/schedule.ts";
import { type Method, targetsOf } from "./grid.ts";
import type { StudySettings } from "./settings.ts";

/** The adapter of a method, attached; undefined for full training. */
export function attachMethod(model: Model, method: Method, seed: number): Adapter | undefined {
  if (method.name === "full") return undefined;
  const { rank, alpha, dropout, rslora, modulesToSave } = method;
  const attach = method.name === "dora" ? attachDora : attachLora;
  return attach(model, {
    rank: rank!,
    alpha: alpha!,
    targets: targetsOf(method.targets!),
    seed,
    ...(dropout !== undefined && { dropout }),
    ...(rslora !== undefined && { rslora }),
    ...(modulesToSave !== undefined && { modulesToSave }),
  });
}

/**
 * AdamW with clipping, the same for all methods but for the learning rate and a weight decay of their own: a warm-up, then as
 * the schedule goes.
 */
export function optimizerOf(
  settings: Pick<StudySettings, "steps" | "clip" | "weightDecay" | "warmupSteps" | "schedule">,
  { method, lr }: { method?: Method; lr: number },
): Optimizer {
  const { steps, clip, warmupSteps: warmup = Math.floor(steps / 20) } = settings;
  const after = {
    constant: () => schedule.constant(lr),
    linear: () => schedule.linear(lr, lr / 10, steps - warmup),
    cosine: () => schedule.cosine(lr, lr / 10, steps - warmup),
  }[settings.schedule]();
  const rule = adamw({
    lr: schedule.join([schedule.linear(0, lr, warmup), after], [warmup]),
    betas: [0.9, 0.95],
    weightDecay: method?.weightDecay ?? settings.weightDecay,
    decay: (_, shape) => shape.length > 1,
  });
  return clip === 0 ? rule : chain(clipByGlobalNorm(clip), rule);
}

/** Saves what a run trained: `adapter`, a PEFT folder, or `model`. */
export const saveTrained = (
  model: Model,
  adapter: Adapter | undefined,
  dir: string,
  from: string,
): Promise<void> =>
  adapter
    ? saveAdapter(adapter, path.join(dir, "adapter"))
    : saveModel(model, path.join(dir, "model"), { tokenizerFrom: from });
