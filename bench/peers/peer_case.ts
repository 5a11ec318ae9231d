import type { DType } from "../../lib/core/dtype.ts";
import { scope } from "../../lib/core/scope.ts";
import { disposeAll, record, valueAndGrad, withoutGrad } from "../../lib/core/tape.ts";
import type { Tensor } from "../../lib/core/tensor.ts";
import type { Operands } from "../workload.ts";
import type { Peer } from "./peer.ts";

interface Named {
  /** What figure it counts for: an id of figures.ts. */
  figure?: string;
  title: string;
  dtype: DType;
}

/** The same work on both sides. */
export interface DuelCase extends Named {
  /** Both sides run on so many. Without it we take all, the peers the better of 1 and 2. */
  threads?: number;
  /** A call of the peer's takes so long that one tells enough. */
  once?: true;
  make: (operands: Operands) => Duel | Promise<Duel>;
}

/** A number that no duel gives: memory, delays, one of our ways against another. */
export interface MeasuredCase extends Named {
  measure: (arena: Arena) => Promise<Measured>;
}

export type PeerCase = DuelCase | MeasuredCase;

export interface Measured {
  /** Absent: it couldn't be measured, `note` says why. */
  value?: number;
  note: string;
}

/** Where cases run. */
export interface Arena {
  peers: readonly Peer[];
  /** For files that both sides read. */
  folder: string;
  /** Instruction set of both sides; "" is the machine's best. */
  isa: string;
}

export interface Duel {
  /** Enqueues our side once. */
  ours: () => void;
  /** Does it once, and says numbers that the peers must arrive at, too. */
  check: () => Promise<number[]>;
  /** The output, then the gradients of each leaf, as `read` saw them: what is held against numbers in float64. */
  results?: <R>(read: (tensor: Tensor) => Promise<R>) => Promise<R[][]>;
  inputs: Record<string, Tensor>;
  /** By the name of a peer: what it calls the work, and its settings. The fastest one counts. */
  peers: Record<string, { work: string; settings: Record<string, object> }>;
}

type Sides = Pick<Duel, "inputs" | "peers">;

export const inPython = (work: string, settings: Record<string, object>): Duel["peers"] => ({
  python: { work, settings },
});

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
export function forwardDuel(call: () => Tensor, rest: Sides): Duel {
  return {
    ...rest,
    ours: () => scope(() => void call()),
    check: async () => {
      const y = scope(call);
      const square = await sumOfSquares(y);
      y.dispose();
      return [square];
    },
    results: async (read) => {
      const y = scope(call);
      const seen = read(y);
      y.dispose();
      return [[await seen]];
    },
  };
}

/**
 * Forward, and backward from a gradient of the output (`given`, or random) to all `leaves`. Leaves that are one tensor for
 * Python stand in one list.
 */
export function trainingDuel(
  o: Operands,
  call: () => Tensor,
  leaves: readonly (readonly Tensor[])[],
  rest: Sides,
  given?: Tensor,
): Duel {
  const upstream = given ?? upstreamOf(o, call);
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
    results: async (read) => {
      const seen: ReturnType<typeof read>[][] = [];
      const { value, grads } = pass((y) => {
        seen.push([withoutGrad(() => read(y))]);
      });
      let at = 0;
      for (const group of leaves) seen.push(group.map(() => read(grads[`leaf${at++}`]!)));
      disposeAll(value, grads);
      return Promise.all(seen.map((group) => Promise.all(group)));
    },
  };
}

function upstreamOf(o: Operands, call: () => Tensor): Tensor {
  const { shape, dtype } = scope(() => {
    const y = call();
    return { shape: y.shape, dtype: y.dtype };
  });
  return o.normal(shape, { dtype });
}
