// A warp's work on 128 columns of a row, four a lane: neighbours where rows can be read by fours; else every 32nd.
#pragma once
#include "cuda/fours.h"

namespace mixwright::cuda {

constexpr int kQuadColumns = 4 * kWarp;

// Counted over the whole grid. 32 bits do where each warp has bytes of its own, and divide without a call.
__device__ inline uint32_t warp_of_grid() { return blockIdx.x * (blockDim.x / kWarp) + threadIdx.x / kWarp; }

// The first of a lane's columns in the tile that begins at `tile`.
template <bool kNeighbours>
__device__ inline int64_t quad_column(int64_t tile) {
  return tile + int(threadIdx.x % kWarp) * (kNeighbours ? 4 : 1);
}

// Columns past the width read as 0.
template <bool kNeighbours, class T>
__device__ inline void load_quad(const T* row, int64_t column, int64_t width, float (&v)[4]) {
  if constexpr (kNeighbours) {
    widen_four(load_four(row + column, width - column, true), v);
  } else {
    for (int j = 0; j < 4; j++) v[j] = column + j * kWarp < width ? load_float(row + column + j * kWarp) : 0.0f;
  }
}
template <bool kNeighbours, class T>
__device__ inline void store_quad(T* row, int64_t column, int64_t width, const float (&v)[4]) {
  if constexpr (kNeighbours) {
    store_four(row + column, v, width - column, true);
  } else {
    for (int j = 0; j < 4; j++) {
      if (column + j * kWarp < width) store_float(row + column + j * kWarp, v[j]);
    }
  }
}

}  // namespace mixwright::cuda
