// total[0] = Σ over all elements of all tensors of x². Blocks of fixed size, added in order, in double.
#pragma once
#include "core/op.h"

MW_OP(sum_squares, (InList xs, Out total))

// Clipping by global norm (Pascanu et al. 2013): norm[0] = sqrt(total[0]), scale[0] = min(1, max_norm / (norm + 1e-6)).
MW_OP(clip_scale, (In total, Out norm, Out scale, double max_norm))
