// Bytes moved: x and y once; the time goes into Philox. A task owns 16k elements.
#include "ops/dropout.h"

#include "core/checks.h"
#include "cpu/draw.h"
#include "cpu/exec.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kChunk = 16384;
}

void dropout(Exec& exec, In x, Out y, float p, int64_t seed, int64_t stream) {
  if (!(p >= 0 && p < 1)) throw KernelError("p is " + std::to_string(p) + ", needed 0 <= p < 1");
  require(x.dtype == y.dtype && x.size() == y.size(), "x and y differ in size or number format");
  const int32_t limit = int32_t(std::ceil(double(p) * 0x1p24));  // uniform01(word) >= p, in whole steps of 2^-24
  const float scale = 1.0f / (1.0f - p);
  with_float_type(x.dtype, [&](auto type) {
    using E = decltype(type);
    exec.parallel_range(x.size(), kChunk, [&](int64_t begin, int64_t end) {
      for (int64_t first = begin; first < end; first += kDrawn) {
        uint32_t words[kDrawn];
        draw(seed, stream, first, words);
        const E* from = x.data<E>() + first;
        E* to = y.data<E>() + first;
        const auto step = [&](int64_t i, auto... lanes) __attribute__((always_inline)) {
          vu drawn;
          std::memcpy(&drawn, words + i, sizeof drawn);
          store(to + i, select(vi(drawn >> 8) >= limit, load(from + i, lanes...) * scale, vf{}), lanes...);
        };
        sweep(end - first < kDrawn ? end - first : kDrawn, step, step);
      }
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
