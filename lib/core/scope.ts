import { ConfigError } from "./errors.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Scopes own the tensors made inside them (house rule S4). Module state is per Node environment: each worker has its own.
 */
let current: Set<Tensor> | undefined;

/** Called by the tensor constructor: the innermost scope owns what is made in it. */
export function adopt(tensor: Tensor): Set<Tensor> | undefined {
  current?.add(tensor);
  return current;
}

/** Every tensor in a result: a tensor, or arrays and plain objects of them. */
export function* tensorsIn(value: unknown): Generator<Tensor> {
  if (typeof value !== "object" || value === null) return;
  if ("isTensor" in value) yield value as Tensor;
  else if (Array.isArray(value)) for (const item of value) yield* tensorsIn(item);
  else if (Object.getPrototypeOf(value) === Object.prototype)
    for (const item of Object.values(value)) yield* tensorsIn(item);
}

/**
 * Runs `fn`, then disposes every tensor made inside that is not in its result; those of the result belong to the
 * enclosing scope, or to the caller. Throws ConfigError when `fn` returns a promise: tensors would be disposed while it
 * runs.
 */
export function scope<T>(fn: () => T): T {
  const outer = current;
  const inner = new Set<Tensor>();
  current = inner;
  let result: T;
  try {
    result = fn();
    refusePromise("scope", result);
    for (const tensor of tensorsIn(result)) if (inner.has(tensor)) tensor.moveTo(outer);
  } finally {
    current = outer;
    for (const tensor of inner) tensor.dispose();
  }
  return result;
}

/** Throws ConfigError when a callback was asynchronous: its tensors would be disposed while it runs. */
export function refusePromise(where: string, result: unknown): void {
  if (typeof (result as { then?: unknown } | undefined)?.then !== "function") return;
  throw new ConfigError(
    `${where}: the callback returned a promise, a synchronous one was needed. Await outside of it`,
  );
}

/** Takes a tensor out of its scope: from now on the caller disposes it. */
export function keep<T extends Tensor>(tensor: T): T {
  tensor.moveTo(undefined);
  return tensor;
}

/** The same for a holder in lib/core that lets go of it without fail: the leak detector needn't look after it. */
export function hold<T extends Tensor>(tensor: T): T {
  tensor.moveTo(undefined, false);
  return tensor;
}
