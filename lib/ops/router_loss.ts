import { ShapeError } from "../core/errors.ts";
import { run } from "../core/run.ts";
import { record } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Routing } from "./router.ts";
import type { OpSpec } from "./spec.ts";

export const spec: OpSpec = {
  name: "loadBalancingLoss",
  kernels: ["load_balancing_loss", "load_balancing_loss_grad"],
  math: "hf: E·Σ_e F_e·P_e over all layers pooled (balanced: K); switch: mean over layers of E/(T·K)·Σ_e count_e·P_e (balanced: 1)",
  inputs: { logits: "[T, E] f32", experts: "[T, K] i32" },
  outputs: { loss: "[1] f32" },
  tolerance: { f32: 2e-6, bf16: 2e-6 },
  source: "Fedus et al. 2021, eq. 4; Hugging Face load_balancing_loss_func",
};

export const zSpec: OpSpec = {
  name: "routerZLoss",
  kernels: ["router_z_loss", "router_z_loss_grad"],
  math: "mean over layers and tokens of logsumexp(logits)²",
  inputs: { logits: "[T, E] f32" },
  outputs: { loss: "[1] f32" },
  tolerance: { f32: 2e-6, bf16: 2e-6 },
  source: "Zoph et al. 2022 (ST-MoE), eq. 5",
};

/** Two published conventions: "hf" pools the tokens of all layers, "switch" averages the losses of the layers. */
export type LoadBalancing = "hf" | "switch";

/** Load-balancing loss over the routings of all MoE layers, on raw logits. Throws ShapeError without layers. */
export function loadBalancingLoss(layers: readonly Routing[], convention: LoadBalancing): Tensor {
  const { device } = firstOf("loadBalancingLoss", layers).logits;
  const E = layers[0]!.logits.shape[1]!;
  const loss = device.empty([1]);
  const slope = device.empty([layers.length, E]);
  const probs = layers.map((layer) => layer.probs);
  run(
    "load_balancing_loss",
    probs,
    layers.map((layer) => layer.experts),
    loss,
    slope,
    convention === "hf",
  );
  record({
    inputs: layers.map((layer) => layer.logits),
    outputs: [loss],
    keeps: [...probs, slope],
    backward: ([dloss], gradients) => {
      layers.forEach(({ logits }, i) => {
        const dlogits = gradients.buffer(logits);
        if (!dlogits) return;
        run(
          "load_balancing_loss_grad",
          dloss,
          probs[i],
          slope.view([E], i * E),
          dlogits.tensor,
          dlogits.accumulate,
        );
      });
    },
  });
  slope.dispose();
  return loss;
}

/** The router z-loss over all MoE layers. Throws ShapeError without layers. */
export function routerZLoss(layers: readonly Routing[]): Tensor {
  const { device, shape } = firstOf("routerZLoss", layers).logits;
  const loss = device.empty([1]);
  const logits = layers.map((layer) => layer.logits);
  run("router_z_loss", logits, loss);
  record({
    inputs: logits,
    outputs: [loss],
    keeps: logits,
    backward: ([dloss], gradients) => {
      for (const z of logits) {
        const dz = gradients.buffer(z);
        if (dz)
          run(
            "router_z_loss_grad",
            dloss,
            z,
            dz.tensor,
            1 / Math.max(1, layers.length * shape[0]!),
            dz.accumulate,
          );
      }
    },
  });
  return loss;
}

function firstOf(name: string, layers: readonly Routing[]): Routing {
  const first = layers[0];
  if (first === undefined)
    throw new ShapeError(`${name}: no routed layer was given, at least one was needed`, name);
  for (const { logits } of layers) {
    if (String(logits.shape) !== String(first.logits.shape)) {
      throw new ShapeError(
        `${name}: logits ${logits.toString()} beside ${first.logits.toString()}, equal shapes were needed`,
        name,
      );
    }
  }
  return first;
}
