import { scope } from "../core/scope.ts";
import { checkpoint } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { add } from "../ops/add.ts";
import type { Routing } from "../ops/router.ts";
import type { SelfAttention } from "./attention.ts";
import type { Context } from "./context.ts";
import { SparseMoe } from "./experts.ts";
import type { Mlp } from "./mlp.ts";
import type { RmsNorm } from "./rms_norm.ts";

/** One pre-norm decoder layer: attention, then a dense or a sparse feed-forward part, each added to its input. */
export class Block {
  constructor(
    readonly path: string,
    readonly attentionNorm: RmsNorm,
    readonly attention: SelfAttention,
    readonly mlpNorm: RmsNorm,
    readonly mlp: Mlp | SparseMoe,
  ) {}

  /** With `recompute` the backward pass runs the layer again instead of keeping its activations. */
  forward(
    x: Tensor,
    context: Context,
    { recompute = false } = {},
  ): { x: Tensor; routing: Routing | undefined } {
    const run = () => scope(() => listed(x.device.at(this.path, () => this.layers(x, context))));
    const [y, logits, probs, experts, weights] = recompute
      ? checkpoint([x, context.offsets, context.rotary.cos, context.rotary.sin], run)
      : run();
    return { x: y!, routing: logits && { logits, probs: probs!, experts: experts!, weights: weights! } };
  }

  private layers(x: Tensor, context: Context): { x: Tensor; routing: Routing | undefined } {
    const attended = add(x, this.attention.forward(this.attentionNorm.forward(x), context));
    const normed = this.mlpNorm.forward(attended);
    if (!(this.mlp instanceof SparseMoe))
      return { x: add(attended, this.mlp.forward(normed)), routing: undefined };
    const { out, routing } = this.mlp.forward(normed);
    return { x: add(attended, out), routing };
  }
}

const listed = ({ x, routing }: { x: Tensor; routing: Routing | undefined }): Tensor[] =>
  routing ? [x, routing.logits, routing.probs, routing.experts, routing.weights] : [x];
