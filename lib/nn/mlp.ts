import type { Tensor } from "../core/tensor.ts";
import { swiglu } from "../ops/swiglu.ts";
import type { Linear } from "./linear.ts";

/** down(silu(gate(x)) · up(x)): the feed-forward part of Llama-style models. */
export class Mlp {
  constructor(
    readonly gate: Linear,
    readonly up: Linear,
    readonly down: Linear,
  ) {}

  forward(x: Tensor): Tensor {
    return this.down.forward(swiglu(this.gate.forward(x), this.up.forward(x)));
  }
}
