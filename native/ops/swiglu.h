// y = silu(gate) · up,  silu(z) = z / (1 + e^-z)  (Shazeer 2020). All of one shape, f32 or bf16.
#pragma once
#include "core/op.h"

MW_OP(swiglu, (In gate, In up, Out y))

// dgate = dy · up · σ(gate) · (1 + gate · (1 - σ(gate))),  dup = dy · silu(gate)
MW_OP(swiglu_grad, (In dy, In gate, In up, Out dgate, Out dup))
