import { ConfigError } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Model } from "../models/model.ts";
import { followLoad } from "../ops/router.ts";
import type { Objective } from "./step.ts";

/**
 * Balancing by a bias of the routers, which the model gets where it has none. Throws ConfigError for a rate below 0, for a model
 * without routers, and for one with an adapter: the adapter's folder would not hold the biases that it was trained with.
 */
export function biasBalance(where: string, model: Model, rate: number): Required<Objective>["balance"] {
  if (!(rate > 0 && Number.isFinite(rate))) {
    throw new ConfigError(
      `${where}: routerBiasRate is ${rate}, a number from 0 was needed`,
      "routerBiasRate",
    );
  }
  const { modelType, numExperts } = model.config;
  if (numExperts === 0) {
    throw new ConfigError(
      `${where}: routerBiasRate is ${rate} on ${modelType}, which has no router`,
      "routerBiasRate",
    );
  }
  if (model.adapter !== undefined) {
    throw new ConfigError(
      `${where}: routerBiasRate is ${rate} on a model with an adapter, whose folder does not hold biases. Train the model itself`,
      "routerBiasRate",
    );
  }
  model.addRouterBias();
  const biases: readonly Tensor[] = Object.values(model.routerBias);
  return (parts) => {
    biases.forEach((bias, layer) => {
      followLoad(
        bias,
        parts.map((experts) => experts[layer]!),
        rate,
      );
    });
  };
}
