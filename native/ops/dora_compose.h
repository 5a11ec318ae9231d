// The magnitude of DoRA over rows sorted by expert (one expert without offsets):
//   y[i, n] = magnitude[e, n] / norm[e, n] · v[i, n] + bias[n],   v = x·(W + s·B·A)ᵀ without bias
// v, y [R, N] f32 or bf16 (y may be v); magnitude [E, N] f32 or bf16; norm [E, N] f32; offsets [E+1] i32; bias absent: 0.
// A norm of 0 gives factor 0.
#pragma once
#include "core/op.h"

MW_OP(dora_compose, (In v, In magnitude, In norm, In bias, In offsets, Out y))

// dv = magnitude/norm · dy,  dmagnitude[e, n] (+)= Σ_{i of e} dy · v / norm; the norm carries no gradient (§4.3).
// dmagnitude may be absent. Rows are added in blocks of fixed size, in order.
MW_OP(dora_compose_grad,
      (In dy, In v, In magnitude, In norm, In offsets, Out dv, Out dmagnitude, bool accumulate))
