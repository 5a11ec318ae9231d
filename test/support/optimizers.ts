import type { Device } from "../../lib/core/device.ts";
import { disposeAll } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import { adam, adamw } from "../../lib/optim/adamw.ts";
import { chain } from "../../lib/optim/chain.ts";
import { clipByGlobalNorm } from "../../lib/optim/clip.ts";
import { lion } from "../../lib/optim/lion.ts";
import { muon } from "../../lib/optim/muon.ts";
import type { Optimizer } from "../../lib/optim/optimizer.ts";
import type { OptimizerRun } from "../../lib/optim/optimizer_run.ts";
import { sgd } from "../../lib/optim/sgd.ts";

export type Tensors = Record<string, Tensor>;

/** One of each kind, for what must hold for all. adamw, lion and muon clip. */
export const optimizers: Record<string, () => Optimizer> = {
  adamw: () => chain(clipByGlobalNorm(1), adamw({ lr: 0.01 })),
  "adamw in 8 bits": () => chain(clipByGlobalNorm(1), adamw({ lr: 0.01, states: "8bit" })),
  adam: () => adam({ lr: 0.01, weightDecay: 0.01 }),
  "sgd with momentum": () => sgd({ lr: 0.05, momentum: 0.9, nesterov: true }),
  sgd: () => sgd({ lr: 0.05 }),
  lion: () => chain(clipByGlobalNorm(1), lion({ lr: 1e-3, weightDecay: 0.1 })),
  muon: () => chain(clipByGlobalNorm(1), muon({ lr: 0.01 })),
};

/** Vectors named p0, p1, … */
export const vectors = (dev: Device, lists: readonly (readonly number[])[]): Tensors =>
  Object.fromEntries(lists.map((list, i) => [`p${i}`, dev.tensor(list, [list.length])]));

export const dataOf = async (tensors: Tensors): Promise<number[][]> =>
  Promise.all(Object.values(tensors).map(async (tensor) => Array.from(await tensor.data())));

/** One update by gradients made for it. */
export async function update(
  dev: Device,
  run: OptimizerRun,
  lists: readonly (readonly number[])[],
): Promise<{ lr: number; norm: number }> {
  const grads = vectors(dev, lists);
  const { lr, gradNorm } = run.step(grads);
  const norm = await gradNorm.item();
  disposeAll(grads, gradNorm);
  return { lr, norm };
}

/** What `make` throws. */
export function thrown(make: () => unknown): Error & { key?: string } {
  try {
    make();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
}
