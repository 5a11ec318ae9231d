// order [N] i32: the places of the elements of x [N] f32 from the least to the greatest, equal ones (−0 and 0 too) as they
// stand, NaN last. N is a batch of sequences: CUDA compares every pair, and lib/ops/argsort.ts takes no more than 65536.
#pragma once
#include "core/dtype.h"
#include "core/op.h"

MW_OP(argsort, (In x, Out order))

namespace mixwright {

// Does x[i] come before x[j]? For both engines. `static`: see core/dtype.h.
MW_ANYWHERE static inline bool comes_before(const float* x, int64_t i, int64_t j) {
  const float a = x[i], b = x[j];
  if (a < b || b < a) return a < b;
  const bool a_is_nan = a != a, b_is_nan = b != b;
  return a_is_nan == b_is_nan ? i < j : b_is_nan;
}

}  // namespace mixwright
