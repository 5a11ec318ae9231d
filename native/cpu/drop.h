// Dropout of a run of elements: element i of a tensor is decided by its own word, whoever asks and in whatever order.
#pragma once
#include <algorithm>
#include <cmath>

#include "core/checks.h"
#include "cpu/draw.h"

namespace mixwright::cpu::MW_ISA {

class Drop {
 public:
  Drop(float p, int64_t seed, int64_t stream)
      : seed_(seed), stream_(stream), limit_(int32_t(std::ceil(double(p) * 0x1p24))), scale_(1.0f / (1.0f - p)) {
    if (!(p >= 0 && p < 1)) throw KernelError("p is " + std::to_string(p) + ", needed 0 <= p < 1");
  }

  // y[i] = x[i] / (1-p) or 0, for `count` elements of which x[0] is number `first`.
  template <class X, class Y>
  void apply(int64_t first, const X* x, Y* y, int64_t count) const {
    while (count > 0) {
      uint32_t words[kDrawn + kLanes];  // the tail is read as a whole vector
      const int64_t ahead = first % 4, n = std::min(count, kDrawn - ahead);
      draw(seed_, stream_, first - ahead, ahead + n, words);
      sweep(n, [&](int64_t i, auto... lanes) __attribute__((always_inline)) {
        vu drawn;
        std::memcpy(&drawn, words + ahead + i, sizeof drawn);
        // uniform01(word) >= p, in whole steps of 2^-24
        store(y + i, select(vi(drawn >> 8) >= limit_, load(x + i, lanes...) * scale_, vf{}), lanes...);
      });
      first += n, x += n, y += n, count -= n;
    }
  }

 private:
  int64_t seed_, stream_;
  int32_t limit_;
  float scale_;
};

}  // namespace mixwright::cpu::MW_ISA
