// A warp's work on 128 columns of a row, four a lane: neighbours, in one load, where that is aligned; else every 32nd.
#pragma once
#include "cuda/launch.h"

namespace mixwright::cuda {

constexpr int kQuadColumns = 4 * kWarp;

// Counted over the whole grid. 32 bits do where each warp has bytes of its own, and divide without a call.
__device__ inline uint32_t warp_of_grid() { return blockIdx.x * (blockDim.x / kWarp) + threadIdx.x / kWarp; }

// May rows of `width` elements of these tensors be read four neighbours at a time?
template <class... Views>
bool in_quads(int64_t width, const Views&... views) {
  return width % 4 == 0 && ((reinterpret_cast<uintptr_t>(views.memory) % uintptr_t(4 * bytes_of(views.dtype)) == 0) && ...);
}

// The first of a lane's columns in the tile that begins at `tile`.
template <bool kNeighbours>
__device__ inline int64_t quad_column(int64_t tile) {
  return tile + int(threadIdx.x % kWarp) * (kNeighbours ? 4 : 1);
}

__device__ inline void load_four(const float* p, float (&v)[4]) {
  const float4 four = *reinterpret_cast<const float4*>(p);
  v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
}
__device__ inline void load_four(const bf16* p, float (&v)[4]) {
  const uint2 four = *reinterpret_cast<const uint2*>(p);
  v[0] = __uint_as_float(four.x << 16), v[1] = __uint_as_float(four.x & 0xffff0000u);
  v[2] = __uint_as_float(four.y << 16), v[3] = __uint_as_float(four.y & 0xffff0000u);
}
__device__ inline void store_four(float* p, const float (&v)[4]) {
  *reinterpret_cast<float4*>(p) = make_float4(v[0], v[1], v[2], v[3]);
}
__device__ inline void store_four(bf16* p, const float (&v)[4]) {
  bf16 four[4];
  for (int j = 0; j < 4; j++) narrow(v[j], four[j]);
  *reinterpret_cast<uint2*>(p) = make_uint2(four[0].bits | unsigned(four[1].bits) << 16,
                                           four[2].bits | unsigned(four[3].bits) << 16);
}

// Columns past the width read as 0.
template <bool kNeighbours, class T>
__device__ inline void load_quad(const T* row, int64_t column, int64_t width, float (&v)[4]) {
  if constexpr (kNeighbours) {
    if (column < width) return load_four(row + column, v);
    v[0] = v[1] = v[2] = v[3] = 0;
  } else {
    for (int j = 0; j < 4; j++) v[j] = column + j * kWarp < width ? load_float(row + column + j * kWarp) : 0.0f;
  }
}
template <bool kNeighbours, class T>
__device__ inline void store_quad(T* row, int64_t column, int64_t width, const float (&v)[4]) {
  if constexpr (kNeighbours) {
    if (column < width) store_four(row + column, v);
  } else {
    for (int j = 0; j < 4; j++) {
      if (column + j * kWarp < width) store_float(row + column + j * kWarp, v[j]);
    }
  }
}

}  // namespace mixwright::cuda
