// Bytes moved: 2·N·K elements. A task owns 16 rows.
#include "ops/scale_rows.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
template <class X, class Y>
void scale_row(const X* x, Y* y, int64_t K, float factor) {
  sweep(
      K, [&](int64_t k) { store(y + k, load(x + k) * factor); },
      [&](int64_t k, int64_t left) { store(y + k, load(x + k, left) * factor, left); });
}
}  // namespace

void scale_rows(Exec& exec, In x, In numerator, In denominator, Out y) {
  const int64_t N = numerator.size(), K = N == 0 ? 0 : x.size() / N;
  const auto factor = [&](int64_t n) {
    float top = 0;
    with_float_type(numerator.dtype, [&](auto type) { top = widen(numerator.data<decltype(type)>()[n]); });
    if (!denominator) return top;
    const float below = denominator.data<float>()[n];
    return below == 0 ? 0.0f : top / below;
  };
  with_float_type(x.dtype, [&](auto x_type) {
    with_float_type(y.dtype, [&](auto y_type) {
      exec.parallel_range(N, 16, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; n++) {
          scale_row(x.data<decltype(x_type)>() + n * K, y.data<decltype(y_type)>() + n * K, K, factor(n));
        }
      });
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
