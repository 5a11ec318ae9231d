// Bytes moved: x and y once. A thread owns four elements, those of one Philox block.
#include "ops/dropout.h"

#include <cmath>
#include <string>

#include "core/philox.h"
#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256;

template <class E>
struct alignas(4 * sizeof(E)) Four {
  E v[4];
};

template <class E>
__device__ inline E dropped(E x, uint32_t word, uint32_t limit, float scale) {
  E y;
  narrow((word >> 8) >= limit ? widen(x) * scale : 0.0f, y);  // uniform01(word) >= p, in whole steps of 2^-24
  return y;
}

// kFours: x and y are aligned to four elements.
template <class E, bool kFours>
__global__ __launch_bounds__(kThreads) void dropout_kernel(const E* x, E* y, int64_t count, uint32_t limit, float scale,
                                                           uint64_t seed, uint64_t stream) {
  grid_stride((count + 3) / 4, [&](int64_t block) {
    const PhiloxBlock words = philox(seed, stream, uint64_t(block));
    const int64_t first = 4 * block;
    if (kFours && first + 4 <= count) {
      Four<E> four = reinterpret_cast<const Four<E>*>(x)[block];
#pragma unroll
      for (int k = 0; k < 4; k++) four.v[k] = dropped(four.v[k], words.v[k], limit, scale);
      reinterpret_cast<Four<E>*>(y)[block] = four;
    } else {
#pragma unroll
      for (int k = 0; k < 4; k++) {
        if (first + k < count) y[first + k] = dropped(x[first + k], words.v[k], limit, scale);
      }
    }
  });
}
}  // namespace

void dropout(Exec& exec, In x, Out y, float p, int64_t seed, int64_t stream) {
  require(x.dtype == y.dtype && x.size() == y.size(), "x and y differ in size or number format");
  if (!(p >= 0 && p < 1)) throw KernelError("p is " + std::to_string(p) + ", needed 0 <= p < 1");
  const uint32_t limit = uint32_t(std::ceil(double(p) * 0x1p24));
  with_float_type(x.dtype, [&](auto type) {
    using E = decltype(type);
    const bool fours = (reinterpret_cast<uintptr_t>(x.memory) | reinterpret_cast<uintptr_t>(y.memory)) % sizeof(Four<E>) == 0;
    launch(exec, fours ? dropout_kernel<E, true> : dropout_kernel<E, false>, blocks_for(exec, pieces(x.size(), 4), kThreads),
           kThreads, 0, x.data<E>(), y.data<E>(), x.size(), limit, 1.0f / (1.0f - p), uint64_t(seed), uint64_t(stream));
  });
}

}  // namespace mixwright::cuda
