import type { Device } from "../lib/core/device.ts";
import { bytesOf, type DType } from "../lib/core/dtype.ts";
import { run } from "../lib/core/run.ts";
import { scope } from "../lib/core/scope.ts";
import { disposeAll, record, valueAndGrad } from "../lib/core/tape.ts";
import type { Tensor } from "../lib/core/tensor.ts";

/**
 * What a pass must do at least: useful floating-point operations (recomputation doesn't count; left out where memory alone
 * decides) and bytes, each operand moved once. `inPlace` says that the writes go where the reads came from.
 */
export interface Cost {
  flops?: number;
  reads: number;
  writes: number;
  inPlace?: boolean;
}

export interface Workload {
  /** Enqueues the op. What it returns gets a random upstream gradient. */
  call: () => Tensor | undefined;
  /** Tensors of the layer before: their gradients have their own format. */
  activations?: readonly Tensor[];
  /** Parameters: their gradients are f32. */
  weights?: readonly Tensor[];
  forward: Cost;
  /** Absent: the op has no gradient, or none is measured. */
  backward?: Cost;
  /** `call` is a whole training step: forward, backward and update together. */
  step?: { tokens: number; update: Cost };
}

/** A `bench/ops/<stem>.bench.ts` exports `cases: BenchCase[]`. */
export interface BenchCase {
  title: string;
  /** Default: f32 and bf16. */
  dtypes?: readonly DType[];
  make: (operands: Operands) => Workload;
}

/** Makes a workload's tensors. Normal data always: the values change clocks and timings. */
export class Operands {
  #stream = 0;

  constructor(
    readonly device: Device,
    readonly dtype: DType,
  ) {}

  /** Bytes of one element. */
  get bytes(): number {
    return bytesOf[this.dtype];
  }

  normal(shape: readonly number[], { std = 1, dtype = this.dtype } = {}): Tensor {
    const tensor = this.device.empty(shape, dtype);
    run("random_normal", tensor, 0, std, 20261124, this.#stream++);
    return tensor;
  }

  ints(data: readonly number[] | Int32Array, shape: readonly number[]): Tensor {
    return this.device.tensor(Int32Array.from(data), shape);
  }
}

/** The forward pass as a function that enqueues it once. */
export const forwardPass = ({ call }: Workload) => {
  return () => scope(() => void call());
};

/** Forward and backward, as one layer among others: no loss to compute, gradients end at the activations. */
export function trainingPass(operands: Operands, workload: Workload): () => void {
  const { call, activations = [], weights = [] } = workload;
  const shown = scope(() => {
    const y = call();
    return y && { shape: y.shape, dtype: y.dtype };
  });
  if (shown === undefined) throw new TypeError("bench: a workload with a backward cost returns its output");
  const upstream = operands.normal(shown.shape, shown);
  const source = operands.device.full([1], 0);
  const params: Record<string, Tensor> = { source };
  weights.forEach((weight, i) => {
    params[`weight${i}`] = weight;
  });
  return () => {
    const { value, grads } = valueAndGrad(params, () => {
      if (activations.length > 0) {
        record({ inputs: [source], outputs: activations, keeps: [], backward: () => undefined });
      }
      const y = call()!;
      const loss = y.device.full([1], 0);
      record({
        inputs: [y],
        outputs: [loss],
        keeps: [upstream],
        backward: (_, gradients) => gradients.give(y, upstream),
      });
      return loss;
    });
    disposeAll(value, grads);
  };
}
