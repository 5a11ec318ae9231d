import type { Figure } from "../peers/figures.ts";

const bounds = (id: string, title: string, gate: number, target: number): Figure => ({
  id,
  title,
  gate,
  target,
});
const atMost = (id: string, title: string, gate: number, target: number): Figure => ({
  ...bounds(id, title, gate, target),
  atMost: true,
});

/** Ratios are the peer's time by ours, if the title doesn't say otherwise. The worst of its cases makes a figure. */
export const figures: readonly Figure[] = [
  bounds("G1", "dense bf16 product, cuBLAS", 0.85, 0.95),
  bounds("G2", "grouped product, torch's grouped_mm", 1, 1.3),
  bounds("G3.eager.T8k", "MoE layer fwd, T 8k, transformers' eager", 10, 20),
  bounds("G3.eager.T32k", "MoE layer fwd, T 32k, transformers' eager", 4, 7),
  bounds("G3.grouped_mm", "MoE layer fwd, transformers' grouped_mm", 1.3, 1.9),
  bounds("G3.liger", "MoE layer fwd, Liger's Triton kernels", 1, 1.4),
  bounds("G4.eager.T8k", "MoE layer fwd+bwd, T 8k, transformers' eager", 25, 40),
  bounds("G4.eager.T32k", "MoE layer fwd+bwd, T 32k, transformers' eager", 8, 16),
  bounds("G4.grouped_mm", "MoE layer fwd+bwd, transformers' grouped_mm", 1.3, 2),
  bounds("G4.liger", "MoE layer fwd+bwd, Liger's Triton kernels", 1.1, 1.6),
  atMost("G5.kept", "bytes kept for the backward of an MoE layer ÷ (2TD + 4TKF)", 1.2, 1.05),
  atMost("G5.peak", "peak over inputs and gradients ÷ grouped_mm's", 0.7, 0.55),
  bounds("G6", "router and lists, torch's topk and sort", 3, 6),
  bounds("G7", "LoRA on stacked experts, peft's target_parameters, the faster way", 1.5, 2.5),
  atMost("G8", "our DoRA step ÷ our LoRA step", 1.1, 1.05),
  bounds("G9.peft", "DoRA norm, peft", 5, 12),
  bounds("G9.dense", "DoRA norm, norm of W + s·B·A", 2, 5),
  bounds("G10", "linear + cross-entropy fwd+bwd, torch whole and in chunks", 1.5, 2.2),
  bounds("G11", "AdamW, torch fused", 1, 1.2),
  bounds("G12", "MoE step, ours with DoRA, transformers' with peft's LoRA", 1.5, 2.5),
];
