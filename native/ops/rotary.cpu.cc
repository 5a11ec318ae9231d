// Bytes moved: rotary 2·T·D elements (the table's row stays in L1 across the heads); rotary_table T·hd floats.
// A task owns 16 rows.
#include "ops/rotary.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kRows = 16;

// One head of one row. Both halves are read before either is written: y may be x.
template <class X, class Y>
void turn(const X* x, const float* cos, const float* sin, Y* y, int64_t half, float direction) {
  sweep(
      half,
      [&](int64_t i) {
        const vf a = load(x + i), b = load(x + half + i), c = load(cos + i), s = load(sin + i) * direction;
        store(y + i, a * c - b * s);
        store(y + half + i, b * c + a * s);
      },
      [&](int64_t i, int64_t n) {
        const vf a = load(x + i, n), b = load(x + half + i, n), c = load(cos + i, n), s = load(sin + i, n) * direction;
        store(y + i, a * c - b * s, n);
        store(y + half + i, b * c + a * s, n);
      });
}
}  // namespace

void rotary_table(Exec& exec, In positions, In inv_freq, Out cos, Out sin, float scale) {
  const int64_t T = positions.size(), half = inv_freq.size();
  exec.parallel_range(T, kRows, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      const double position = positions.data<int32_t>()[t];
      for (int64_t i = 0; i < half; i++) {
        const double angle = position * double(inv_freq.data<float>()[i]);
        cos.data<float>()[t * half + i] = float(std::cos(angle) * double(scale));
        sin.data<float>()[t * half + i] = float(std::sin(angle) * double(scale));
      }
    }
  });
}

void rotary(Exec& exec, In x, In cos, In sin, Out y, int64_t heads, bool inverse) {
  const int64_t T = cos.rows(), half = cos.cols();
  const float direction = inverse ? -1.0f : 1.0f;
  with_float_type(x.dtype, [&](auto x_type) {
    with_float_type(y.dtype, [&](auto y_type) {
      using X = decltype(x_type);
      using Y = decltype(y_type);
      exec.parallel_range(T, kRows, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; t++) {
          for (int64_t head = 0; head < heads; head++) {
            const int64_t at = (t * heads + head) * 2 * half;
            turn(x.data<X>() + at, cos.data<float>() + t * half, sin.data<float>() + t * half, y.data<Y>() + at, half,
                 direction);
          }
        }
      });
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
