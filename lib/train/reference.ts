import { ConfigError } from "../core/errors.ts";
import { scope } from "../core/scope.ts";
import { withoutGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import type { Model } from "../models/model.ts";
import type { TokenBatch } from "../text/token_batch.ts";
import { Snapshot } from "./snapshot.ts";

/**
 * What the policy is held near to: a second model; the model without its adapter (`adapter.off`); or "initial", the model
 * as it is when training starts.
 */
export type Reference = Model | (() => void) | "initial";

/** What a pass over a batch measures without a gradient: log-probabilities, or [2P] sums of them. */
export type Pass<B extends TokenBatch> = (model: Model, batch: B) => Tensor;

/** How the reference's numbers for a batch are had, as part of a step. */
export interface ReferencePass<B extends TokenBatch> {
  run(batch: B): Tensor;
  /** The parameters as they were, for "initial": part of a checkpoint. The caller disposes it. */
  snapshot?: Snapshot;
}

/**
 * Runs `pass` on the reference; `moves`: it will follow the policy. Throws ConfigError for a model on another device, or the very model that trains, and for a
 * function without an adapter that it could turn off.
 */
export function referencePass<B extends TokenBatch>(
  name: string,
  model: Model,
  params: Readonly<Record<string, Tensor>>,
  reference: Reference,
  pass: Pass<B>,
  { moves = false } = {},
): ReferencePass<B> {
  const refuse = (what: string, needed: string): never => {
    throw new ConfigError(`${name}: ${what}, ${needed} was needed`, "reference");
  };
  if (reference === "initial") {
    const snapshot = new Snapshot(params, moves ? "f32" : undefined);
    return { run: (batch) => snapshot.during(() => pass(model, batch)), snapshot };
  }
  if (typeof reference === "function") {
    const { adapter } = model;
    if (!adapter) return refuse("reference is a function and the model has no adapter", "adapter.off of one");
    const own = new Set(Object.values(adapter.params));
    const others = Object.keys(params).filter((key) => !own.has(params[key]!));
    if (others.length > 0) {
      refuse(
        `reference is the model without its adapter, and ${others.length} of params are not the adapter's (${others[0]}): it would move along`,
        "params: adapter.params, or another reference",
      );
    }
    return {
      run: (batch) => {
        try {
          reference();
          if (adapter.isOn) refuse("reference left the adapter on", "adapter.off");
          return withoutGrad(() => scope(() => pass(model, batch)));
        } finally {
          adapter.on();
        }
      },
    };
  }
  if (typeof reference !== "object" || !("device" in reference))
    return refuse(`reference is ${String(reference)}`, 'a model, adapter.off or "initial"');
  if (reference === model)
    refuse("reference is the model that trains", 'adapter.off, a second model or "initial"');
  if (reference.device !== model.device)
    refuse("the reference lives on another device than the model", "one");
  return { run: (batch) => withoutGrad(() => scope(() => pass(reference, batch))) };
}

/** What trains where nothing else is asked for: an attached adapter, or all of the model. */
export const defaultParams = (model: Model): Record<string, Tensor> => ({
  ...(model.adapter?.params ?? model.params),
});

/** Without a reference given: the model without its adapter, or as it is at the start. */
export const defaultReference = (model: Model): Reference => model.adapter?.off ?? "initial";
