// Bytes moved: y once; the time goes into the numbers. A task owns 16k elements.
// Values are computed in double and rounded once, with std::fma where a product meets a sum, so that every instruction set
// gives the same bits.
#include "ops/random.h"

#include "core/checks.h"
#include "cpu/draw.h"
#include "cpu/exec.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kChunk = 16384;
constexpr double kTwoPi = 6.283185307179586;

// Fills y with draw_two(words, values), a pair of elements at a time.
template <class E, class DrawTwo>
void fill(Exec& exec, Out y, int64_t seed, int64_t stream, const DrawTwo& draw_two) {
  exec.parallel_range(y.size(), kChunk, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end; first += kDrawn) {
      uint32_t words[kDrawn];
      const int64_t count = end - first < kDrawn ? end - first : kDrawn;
      draw(seed, stream, first, count, words);
      E* to = y.data<E>() + first;
      for (int64_t i = 0; i < count; i += 2) {
        float values[2];
        draw_two(words + i, values);
        narrow(values[0], to[i]);
        if (i + 1 < count) narrow(values[1], to[i + 1]);
      }
    }
  });
}

}  // namespace

void random_normal(Exec& exec, Out y, double mean, double std, int64_t seed, int64_t stream) {
  with_float_type(y.dtype, [&](auto type) {
    fill<decltype(type)>(exec, y, seed, stream, [=](const uint32_t* words, float* values) {
      const double u = (double(words[0]) + 1) * 0x1p-32;  // in (0, 1]
      const double angle = kTwoPi * 0x1p-32 * double(words[1]);
      const double radius = std * std::sqrt(-2 * std::log(u));
      values[0] = float(std::fma(radius, std::cos(angle), mean));
      values[1] = float(std::fma(radius, std::sin(angle), mean));
    });
  });
}

void random_uniform(Exec& exec, Out y, double low, double high, int64_t seed, int64_t stream) {
  if (!(low < high)) {
    throw KernelError("the range is from " + std::to_string(low) + " to " + std::to_string(high) + ", which holds no number");
  }
  with_float_type(y.dtype, [&](auto type) {
    const float top = below(high, type);  // rounding must not reach `high`
    fill<decltype(type)>(exec, y, seed, stream, [=](const uint32_t* words, float* values) {
      for (int k = 0; k < 2; k++) {
        const float value = float(std::fma(high - low, double(uniform01(words[k])), low));
        values[k] = value < top ? value : top;
      }
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
