import type { DType } from "../../lib/core/dtype.ts";
import { scope } from "../../lib/core/scope.ts";
import { disposeAll, record, valueAndGrad } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import type { Operands } from "../workload.ts";

/** The same work on both sides. */
export interface PeerCase {
  title: string;
  dtype: DType;
  make: (operands: Operands) => Duel | Promise<Duel>;
}

export interface Duel {
  /** Enqueues our side once. */
  ours: () => void;
  /** Does it once, and says numbers that Python must arrive at, too. */
  check: () => Promise<number[]>;
  /** Function of peer.py, what it reads, and its settings: the fastest one counts. */
  python: string;
  inputs: Record<string, Tensor>;
  settings: Record<string, object>;
}

export async function sumOfSquares(...tensors: readonly Tensor[]): Promise<number> {
  let sum = 0;
  for (const tensor of tensors) for (const x of await tensor.data()) sum += x * x;
  return sum;
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** A pass without gradients. */
export function forwardDuel(call: () => Tensor, rest: Pick<Duel, "python" | "inputs" | "settings">): Duel {
  return {
    ...rest,
    ours: () => scope(() => void call()),
    check: async () => {
      const y = scope(call);
      const square = await sumOfSquares(y);
      y.dispose();
      return [square];
    },
  };
}

/**
 * Forward, and backward from a random gradient of the output to all `leaves`. Leaves that are one tensor for Python stand in
 * one list.
 */
export function trainingDuel(
  o: Operands,
  call: () => Tensor,
  leaves: readonly (readonly Tensor[])[],
  rest: Pick<Duel, "python" | "inputs" | "settings">,
): Duel {
  const { shape, dtype } = scope(() => {
    const y = call();
    return { shape: y.shape, dtype: y.dtype };
  });
  const upstream = o.normal(shape, { dtype });
  const params = Object.fromEntries(leaves.flat().map((leaf, i) => [`leaf${i}`, leaf]));
  const pass = (shown?: (y: Tensor) => void) =>
    valueAndGrad(params, () => {
      const y = call();
      shown?.(y);
      const loss = y.device.full([1], 0);
      record({
        inputs: [y],
        outputs: [loss],
        keeps: [upstream],
        backward: (_, gradients) => gradients.give(y, upstream),
      });
      return loss;
    });
  return {
    ...rest,
    inputs: { ...rest.inputs, upstream },
    ours: () => {
      const { value, grads } = pass();
      disposeAll(value, grads);
    },
    check: async () => {
      let output: ReturnType<Tensor["data"]> | undefined;
      const { value, grads } = pass((y) => {
        output = y.data();
      });
      const [y, dy] = [await output!, await upstream.data()];
      const numbers = [dot(y, dy)];
      let at = 0;
      for (const group of leaves) {
        numbers.push(await sumOfSquares(...group.map(() => grads[`leaf${at++}`]!)));
      }
      disposeAll(value, grads);
      return numbers;
    },
  };
}
