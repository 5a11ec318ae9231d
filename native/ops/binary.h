// y = f(a, b), element by element; a, b, y f32 of one shape: a·b, min(a, b), max(a, b). NaN in a or b is NaN in y.
#pragma once
#include <math.h>

#include "core/dtype.h"
#include "core/op.h"

MW_OP(binary, (In a, In b, Out y, int64_t kind))

// da = dy · ∂f/∂a and db = dy · ∂f/∂b; either may be absent. Where a = b, min and max give each half of dy, as PyTorch does.
MW_OP(binary_grad, (In dy, In a, In b, Out da, Out db, int64_t kind))

namespace mixwright {

// In the order of `kinds` in lib/ops/binary.ts.
enum class Binary : int64_t { multiply, minimum, maximum };

// The functions below, for both engines. `static`: see core/dtype.h.
MW_ANYWHERE static inline float binary_value(Binary kind, float a, float b) {
  switch (kind) {
    case Binary::multiply: return a * b;
    case Binary::minimum: return a < b || a != a ? a : b;
    case Binary::maximum: return a > b || a != a ? a : b;
  }
  return NAN;
}

// ∂f/∂own · dy. All three functions treat a and b alike.
MW_ANYWHERE static inline float binary_gradient(Binary kind, float dy, float own, float other) {
  switch (kind) {
    case Binary::multiply: return dy * other;
    case Binary::minimum: return own > other ? 0 : own == other ? dy / 2 : dy;
    case Binary::maximum: return own < other ? 0 : own == other ? dy / 2 : dy;
  }
  return NAN;
}

}  // namespace mixwright
