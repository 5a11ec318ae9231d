// y[t] = σ(gate[t]) · x[t]: the gate of a shared expert (Qwen2-MoE). x, y [T, D], gate [T, 1]; f32 or bf16.
#pragma once
#include "core/op.h"

MW_OP(sigmoid_gate, (In x, In gate, Out y))
MW_OP(sigmoid_gate_grad, (In dy, In x, In gate, Out dx, Out dgate))
