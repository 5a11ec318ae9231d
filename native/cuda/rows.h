// What kernels that are bound by memory share: neighbours in one load or store, and rows given to groups of threads.
#pragma once
#include <type_traits>

#include "cuda/fours.h"

namespace mixwright::cuda {

// Neighbouring elements, widened: four where the addresses allow it, else one.
template <int kWidth>
struct Floats {
  float at[kWidth];
};

template <int kWidth, class T>
__device__ inline Floats<kWidth> load_floats(const T* p) {
  static_assert(kWidth == 1 || kWidth == 4, "one or four");
  Floats<kWidth> x;
  if constexpr (kWidth == 1) {
    x.at[0] = load_float(p);
  } else {
    widen_four(load_four(p, 4, true), x.at);
  }
  return x;
}

template <int kWidth, class T>
__device__ inline void store_floats(T* p, const Floats<kWidth>& x) {
  if constexpr (kWidth == 1) {
    store_float(p, x.at[0]);
  } else {
    store_four(p, x.at, 4, true);
  }
}

// body(width) with the width that rows of `cols` elements of all `views` allow, as a constant. An absent view allows any.
template <class Body, class... Views>
void with_width(int64_t cols, const Body& body, const Views&... views) {
  by_fours(cols, views...) ? body(std::integral_constant<int, 4>()) : body(std::integral_constant<int, 1>());
}

// A group of threads takes a row: a warp, or for long rows the block. All of a group are at the same row at the same time.
constexpr int kRowThreads = 256;
inline int row_group(int64_t cols) { return cols <= 1024 ? kWarp : kRowThreads; }

// Blocks whose groups walk `rows` rows with a stride of the whole grid.
inline dim3 row_blocks(Exec& exec, int64_t rows, int group) { return blocks_for(exec, rows * group, kRowThreads); }

template <class Body>
__device__ inline void for_rows(int64_t rows, int group, const Body& body) {
  const int64_t groups = kRowThreads / group;
  for (int64_t t = blockIdx.x * groups + threadIdx.x / group; t < rows; t += gridDim.x * groups) body(t);
}

// body(i) for a row's pieces of kWidth columns: this thread's share.
template <int kWidth, class Body>
__device__ inline void for_columns(int64_t cols, int group, const Body& body) {
  const int end = int(cols), step = group * kWidth;
#pragma unroll 2
  for (int i = int(threadIdx.x) % group * kWidth; i < end; i += step) body(i);
}

// `warps`: shared memory for 33 values.
__device__ inline float row_sum(float x, int group, float* warps) { return group == kWarp ? warp_sum(x) : block_sum(x, warps); }

}  // namespace mixwright::cuda
