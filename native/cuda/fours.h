// Rows in pieces of four neighbours: read and written at once where memory is aligned to that, else one by one; and what
// dropout leaves of them.
#pragma once
#include <cmath>
#include <string>

#include "core/philox.h"
#include "cuda/launch.h"

namespace mixwright::cuda {

// An operand whose format is looked at when it is read.
struct AnyFloats {
  const void* memory;
  bool half;
  AnyFloats(const View& of) : memory(of.memory), half(of.dtype == DType::bf16) {}
  explicit AnyFloats(const float* p) : memory(p), half(false) {}
  __device__ float at(int64_t i) const {
    return half ? load_float(static_cast<const bf16*>(memory) + i) : load_float(static_cast<const float*>(memory) + i);
  }
};

template <class E>
struct alignas(4 * sizeof(E)) Four {
  E v[4];
};

// Whether every row's elements 0, 4, 8, … can be read by fours.
inline bool by_fours(const void* memory, int64_t element_bytes, int64_t row) {
  return row % 4 == 0 && reinterpret_cast<uintptr_t>(memory) % uintptr_t(4 * element_bytes) == 0;
}

// The first `count` elements at p, at most four; 0 for the others.
template <class E>
__device__ inline Four<E> load_four(const E* p, int64_t count, bool aligned) {
  if (aligned && count >= 4) return *reinterpret_cast<const Four<E>*>(p);
  Four<E> out;
#pragma unroll
  for (int i = 0; i < 4; i++) out.v[i] = i < count ? p[i] : E{};
  return out;
}

template <class E>
__device__ inline void store_four(E* p, const float (&x)[4], int64_t count, bool aligned) {
  Four<E> out;
#pragma unroll
  for (int i = 0; i < 4; i++) store_float(out.v + i, x[i]);
  if (aligned && count >= 4) {
    *reinterpret_cast<Four<E>*>(p) = out;
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (i < count) p[i] = out.v[i];
  }
}

template <class E>
__device__ inline void widen_four(const Four<E>& from, float (&to)[4]) {
#pragma unroll
  for (int i = 0; i < 4; i++) to[i] = load_float(from.v + i);
}

// Dropout of elements by their number: that of dropout.h.
struct Drop {
  uint64_t seed = 0, stream = 0;
  int32_t limit = 0;  // 0: nothing is dropped
  float scale = 1;

  Drop() = default;
  Drop(float p, int64_t from_seed, int64_t from_stream)
      : seed(uint64_t(from_seed)), stream(uint64_t(from_stream)), limit(int32_t(std::ceil(double(p) * 0x1p24))),
        scale(1.0f / (1.0f - p)) {
    if (!(p >= 0 && p < 1)) throw KernelError("p is " + std::to_string(p) + ", needed 0 <= p < 1");
  }

  // x[i] is element `first` + i.
  __device__ void apply(int64_t first, float (&x)[4]) const {
    const int ahead = int(first & 3);
    uint32_t words[8] = {};
    const PhiloxBlock block = philox(seed, stream, uint64_t(first) / 4);
    PhiloxBlock next = block;
    if (ahead > 0) next = philox(seed, stream, uint64_t(first) / 4 + 1);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      words[i] = block.v[i];
      words[4 + i] = next.v[i];
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {  // no index that isn't known when compiled: words stay in registers
      const uint32_t word = ahead < 2 ? (ahead == 0 ? words[i] : words[i + 1]) : (ahead == 2 ? words[i + 2] : words[i + 3]);
      x[i] = int32_t(word >> 8) >= limit ? x[i] * scale : 0.0f;
    }
  }
};

}  // namespace mixwright::cuda
