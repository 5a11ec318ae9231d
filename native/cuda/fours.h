// Rows in pieces of four neighbours: read and written at once where memory is aligned to that, else one by one.
#pragma once
#include "cuda/launch.h"

namespace mixwright::cuda {

// An operand whose format is looked at when it is read.
struct AnyFloats {
  const void* memory;
  bool half;
  AnyFloats(const View& of) : memory(of.memory), half(of.dtype == DType::bf16) {}
  MW_ANYWHERE explicit AnyFloats(const float* p) : memory(p), half(false) {}
  __device__ float at(int64_t i) const {
    return half ? load_float(static_cast<const bf16*>(memory) + i) : load_float(static_cast<const float*>(memory) + i);
  }
};

template <class E>
struct alignas(4 * sizeof(E)) Four {
  E v[4];
};

// Whether elements 0, 4, 8, … of every row of `row` elements can be read by fours; an absent tensor's can.
inline bool by_fours(const void* memory, int64_t element_bytes, int64_t row) {
  return row % 4 == 0 && reinterpret_cast<uintptr_t>(memory) % uintptr_t(4 * element_bytes) == 0;
}
template <class... Views>
bool by_fours(int64_t row, const Views&... views) {
  return (by_fours(views.memory, bytes_of(views.dtype), row) && ...);
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

__device__ inline void load_four(const AnyFloats& from, int64_t at, int64_t count, bool aligned, float (&to)[4]) {
  if (from.half) {
    widen_four(load_four(static_cast<const bf16*>(from.memory) + at, count, aligned), to);
  } else {
    widen_four(load_four(static_cast<const float*>(from.memory) + at, count, aligned), to);
  }
}

}  // namespace mixwright::cuda
