import { ConfigError, ShapeError } from "./errors.ts";
import { Gradients } from "./gradients.ts";
import { randomStreamPosition, withRandomStreams } from "./random.ts";
import { keep, refusePromise, scope, tensorsIn } from "./scope.ts";
import type { Tensor } from "./tensor.ts";

/** One op of the forward pass: what it read, what it made, what its gradient keeps alive. */
export interface Entry {
  inputs: readonly Tensor[];
  outputs: readonly Tensor[];
  /** Tensors the gradient reads. `false` and undefined are skipped, so that a keep can hang on a condition. */
  keeps: readonly (Tensor | false | undefined)[];
  /** Adds this op's share to the gradients of its inputs. `dys[i]` belongs to `outputs[i]`; undefined: none arrived. */
  backward: (dys: readonly (Tensor | undefined)[], gradients: Gradients) => void;
}

interface Recorded extends Entry {
  path: string;
}

/** What was done, in order, since `valueAndGrad` or a recomputed part began (house.md §6). */
class Tape {
  readonly entries: Recorded[] = [];
  private readonly tracked = new Set<Tensor>();

  constructor(
    readonly trainable: ReadonlySet<Tensor>,
    /** Takes the roots of the parameters that ops read. */
    private readonly read: Set<Tensor>,
  ) {}

  needs(tensor: Tensor): boolean {
    return this.trainable.has(tensor.root) || this.tracked.has(tensor);
  }

  track(tensor: Tensor): void {
    this.tracked.add(tensor);
  }

  add(entry: Entry, path: string): void {
    for (const output of entry.outputs) this.tracked.add(output);
    for (const { root } of entry.inputs) if (this.trainable.has(root)) this.read.add(root);
    const keeps = entry.keeps.filter((tensor) => tensor !== false && tensor !== undefined);
    for (const tensor of keeps) tensor.retain();
    this.entries.push({ ...entry, keeps, path });
  }

  drop(): void {
    for (const entry of this.entries) for (const tensor of entry.keeps) (tensor as Tensor).release();
    this.entries.length = 0;
  }

  /** Walks back; every kept tensor is let go at its last use. */
  backward(gradients: Gradients): void {
    while (this.entries.length > 0) {
      const entry = this.entries.pop()!;
      const dys = entry.outputs.map((output) => gradients.take(output));
      try {
        if (dys.some((dy) => dy !== undefined)) {
          const device = entry.outputs[0]!.device;
          device.atPath(entry.path, () =>
            scope(() => {
              entry.backward(dys, gradients);
              gradients.settle();
            }),
          );
        }
      } finally {
        for (const dy of dys) dy?.release();
        for (const tensor of entry.keeps) (tensor as Tensor).release();
      }
    }
  }

  /** A tape for running a part again, with the same parameters. */
  fork(): Tape {
    return new Tape(this.trainable, this.read);
  }
}

let current: Tape | undefined;
let differentiating = false;

/** Runs `fn` on a tape, or on none. A recomputed part runs without one at first, and still counts as training. */
function on<T>(tape: Tape | undefined, fn: () => T, training = tape !== undefined): T {
  const before = { current, differentiating };
  current = tape;
  differentiating = training;
  try {
    return fn();
  } finally {
    ({ current, differentiating } = before);
  }
}

/** Is this pass for a gradient? If not, nothing is dropped. */
export const isTraining = (): boolean => differentiating;

/** Does a gradient have to reach this tensor? */
export const needsGrad = (tensor: Tensor | undefined): boolean =>
  tensor !== undefined && (current?.needs(tensor) ?? false);

/** Notes an op for the backward pass, if any of its inputs needs a gradient. */
export function record(entry: Entry): void {
  if (current !== undefined && entry.inputs.some((input) => current!.needs(input))) {
    current.add(entry, entry.outputs[0]!.device.path);
  }
}

/** Runs `fn` with its gradient, and without dropout: where policies are compared, both must see all of the model. */
export const withoutDropout = <T>(fn: () => T): T => on(current, fn, false);

/** Runs `fn` without recording. */
export const withoutGrad = <T>(fn: () => T): T => on(undefined, fn);

/**
 * Runs `fn`, which returns a scalar, and its gradient with respect to `params`. Gradients are f32, shaped and named as the
 * parameters; one that `fn` doesn't use is zero. With `into` (the `grads` of an earlier call) they are added to those.
 * Value and gradients belong to the caller: dispose them. Throws ShapeError when the result isn't one number, ConfigError
 * when `fn` returns a promise or a call is nested in another.
 */
export function valueAndGrad<N extends string>(
  params: Record<N, Tensor>,
  fn: () => Tensor,
  options: {
    into?: Record<N, Tensor>;
    /** @internal Gets the roots of the parameters that `fn` used, those of recomputed parts included. */
    read?: Set<Tensor>;
  } = {},
): { value: Tensor; grads: Record<N, Tensor> } {
  if (current !== undefined)
    throw new ConfigError("valueAndGrad: called inside of another one, gradients are first order only");
  const names = Object.keys(params) as N[];
  const tape = new Tape(new Set(names.map((name) => params[name].root)), options.read ?? new Set());
  const gradients = new Gradients(tape.trainable, (tensor) => tape.needs(tensor));
  for (const name of names) if (options.into) gradients.continue(params[name], options.into[name]);
  try {
    const value = scope(() => {
      const loss = on(tape, fn);
      refusePromise("valueAndGrad", loss);
      if (loss?.isTensor !== true)
        throw new ConfigError("valueAndGrad: fn returned no tensor, a scalar loss was needed");
      if (loss.size !== 1) {
        throw new ShapeError(
          `valueAndGrad: the loss is ${loss.toString()}, a tensor with one element was needed`,
          "valueAndGrad",
          [loss.toString()],
        );
      }
      if (tape.needs(loss)) {
        gradients.seed(loss);
        tape.backward(gradients);
      }
      return loss.view(loss.shape); // a handle of its own: fn may have returned a parameter
    });
    const grads = {} as Record<N, Tensor>;
    for (const name of names) grads[name] = options.into?.[name] ?? gradients.of(params[name], name);
    return { value: keep(value), grads };
  } finally {
    tape.drop();
    gradients.drop();
  }
}

/**
 * Runs `fn` without keeping its intermediate tensors; the backward pass runs it again (Chen et al. 2016). Dropout draws
 * the same masks the second time. `fn` must read nothing but `inputs` and parameters, and return new tensors.
 */
export function checkpoint(inputs: readonly Tensor[], fn: () => Tensor[]): Tensor[] {
  const tape = current;
  if (tape === undefined) return fn();
  const streams = randomStreamPosition();
  const training = differentiating;
  const outputs = scope(() => on(undefined, fn, training));
  const wanted = inputs.filter((input) => tape.needs(input));
  // Parameters inside of fn count too, so the entry is kept even when no input needs a gradient.
  tape.add(
    {
      inputs,
      outputs,
      keeps: inputs,
      backward: (dys, gradients) => {
        const again = tape.fork();
        for (const input of wanted) again.track(input);
        try {
          gradients.alongside(
            (tensor) => again.needs(tensor),
            () => {
              const second = withRandomStreams(streams, () => on(again, fn, training));
              second.forEach((y, i) => {
                const dy = dys[i];
                if (dy !== undefined) gradients.give(y, dy);
              });
              again.backward(gradients);
            },
          );
        } finally {
          again.drop();
        }
      },
    },
    outputs[0]!.device.path,
  );
  return outputs;
}

/** Disposes every tensor in a result or record. */
export function disposeAll(...values: unknown[]): void {
  for (const value of values) for (const tensor of tensorsIn(value)) tensor.dispose();
}
