// y[d] = Σ of x[offsets[d]] … x[offsets[d+1] - 1], in order, in double. x [T], y [D] f32; offsets [D+1] i32.
#pragma once
#include "core/op.h"

MW_OP(segment_sum, (In x, In offsets, Out y))

// The gradient: dx[t] (+)= dy[d] for every t of segment d.
MW_OP(segment_sum_grad, (In dy, In offsets, Out dx, bool accumulate))
