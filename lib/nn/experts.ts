// T tokens, D model, E experts, K chosen, R = T·K routed rows sorted by expert, F hidden
import type { Tensor } from "../core/tensor.ts";
import { add } from "../ops/add.ts";
import { combineRows } from "../ops/combine_rows.ts";
import { linear } from "../ops/linear.ts";
import { type Routing, router } from "../ops/router.ts";
import { sigmoidGate } from "../ops/sigmoid_gate.ts";
import { sortByExpert } from "../ops/sort_by_expert.ts";
import { swiglu } from "../ops/swiglu.ts";
import type { Linear } from "./linear.ts";
import type { Mlp } from "./mlp.ts";

export interface ExpertParts {
  /** Router, [E, D]. Its logits are f32 whatever the model's format. */
  router: Linear;
  gate: Linear;
  up: Linear;
  down: Linear;
  /** An MLP that every token passes, scaled by the sigmoid of a gate (Qwen2-MoE). */
  shared?: { mlp: Mlp; gate: Linear } | undefined;
  topK: number;
  renormalize: boolean;
}

/** A sparse mixture of experts without capacity and without dropped tokens: rows are sorted, not padded. */
export class SparseMoe {
  /** Counts in the choice of experts, not in their weights, [E] f32 (Wang et al. 2024). */
  routerBias: Tensor | undefined;

  constructor(readonly parts: ExpertParts) {}

  forward(x_TD: Tensor): { out: Tensor; routing: Routing } {
    const { gate, up, down, shared, topK, renormalize } = this.parts;
    const experts = this.parts.router.outFeatures;
    const logits_TE = linear(x_TD, this.parts.router.weight, { dtype: "f32" });
    const routing = router(logits_TE, { topK, renormalize, bias: this.routerBias });
    const { offsets, tokens, positions } = sortByExpert(routing.experts, experts);
    const gathered = { offsets, gather: { rows: tokens, positions } };
    const h_RF = swiglu(gate.forward(x_TD, gathered), up.forward(x_TD, gathered));
    const y_RD = down.forward(h_RF, { offsets });
    const routed = combineRows(y_RD, routing.weights, positions);
    if (shared === undefined) return { out: routed, routing };
    return { out: add(routed, sigmoidGate(shared.mlp.forward(x_TD), shared.gate.forward(x_TD))), routing };
  }
}
