// y = f(x), element by element; x, y f32 of one shape. What comes out where f isn't finite is what IEEE 754 says.
// log_sigmoid = min(x, 0) - log(1 + e^-|x|);  log1m_exp = log(1 - e^x), by one of two formulas on either side of -ln 2
// (Mächler 2012, "Accurately computing log(1 - exp(-|a|))");  clamp = x within [lo, hi], which only it reads.
#pragma once
#include <math.h>

#include "core/dtype.h"
#include "core/op.h"

MW_OP(unary, (In x, Out y, int64_t kind, float lo, float hi))

// dx = dy · f'(x). For clamp: dy within [lo, hi], bounds included, and 0 outside.
MW_OP(unary_grad, (In dy, In x, Out dx, int64_t kind, float lo, float hi))

namespace mixwright {

// In the order of `kinds` in lib/ops/unary.ts.
enum class Unary : int64_t { exp, log, square, sqrt, reciprocal, sigmoid, log_sigmoid, log1m_exp, clamp };

// The functions below, for both engines. `static`: see core/dtype.h.
MW_ANYWHERE static inline float sigmoid_of(float x) {
  const float e = expf(-fabsf(x));  // of -x it would overflow, and small results with it
  return (x < 0 ? e : 1) / (1 + e);
}

MW_ANYWHERE static inline float unary_value(Unary kind, float x, float lo, float hi) {
  switch (kind) {
    case Unary::exp: return expf(x);
    case Unary::log: return logf(x);
    case Unary::square: return x * x;
    case Unary::sqrt: return sqrtf(x);
    case Unary::reciprocal: return 1 / x;
    case Unary::sigmoid: return sigmoid_of(x);
    case Unary::log_sigmoid: return (x < 0 ? x : 0) - log1pf(expf(-fabsf(x)));
    case Unary::log1m_exp: return x > -0.69314718f ? logf(-expm1f(x)) : log1pf(-expf(x));
    case Unary::clamp: return x < lo ? lo : x > hi ? hi : x;
  }
  return NAN;
}

MW_ANYWHERE static inline float unary_gradient(Unary kind, float dy, float x, float lo, float hi) {
  switch (kind) {
    case Unary::exp: return dy * expf(x);
    case Unary::log: return dy / x;
    case Unary::square: return dy * (2 * x);
    case Unary::sqrt: return dy * (0.5f / sqrtf(x));
    case Unary::reciprocal: return -dy * (1 / x) * (1 / x);
    case Unary::sigmoid: return dy * sigmoid_of(x) * sigmoid_of(-x);  // 1 - sigmoid would cancel
    case Unary::log_sigmoid: return dy * sigmoid_of(-x);
    case Unary::log1m_exp: return -dy * (expf(x) / (0 - expm1f(x)));  // 0 - …: of x = 0, -infinity
    case Unary::clamp: return x < lo || x > hi ? 0 : dy;
  }
  return NAN;
}

}  // namespace mixwright
