// Softmax of one f32 row, for kernels that choose among experts or words.
#pragma once
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

MW_INLINE float row_max(const float* x, int64_t n) {
  vf best = splat(-INFINITY);
  sweep(
      n, [&](int64_t i) { best = max(load(x + i), best); },
      [&](int64_t i, int64_t lanes) { best = max(keep(load(x + i, lanes), lanes, -INFINITY), best); });
  return max_lane(best);
}

// y = e^(x - shift); y may be x. Returns the sum of y.
MW_INLINE float exp_row(const float* x, float* y, int64_t n, float shift) {
  vf total = {};
  sweep(
      n,
      [&](int64_t i) {
        const vf e = exp(load(x + i) - shift);
        store(y + i, e);
        total += e;
      },
      [&](int64_t i, int64_t lanes) {
        const vf e = exp(load(x + i, lanes) - shift);
        store(y + i, e, lanes);
        total += keep(e, lanes, 0);
      });
  return sum(total);
}

}  // namespace mixwright::cpu::MW_ISA
