// Attention's tiles for the tensor cores: bf16 rows in shared memory, kCols + 8 elements apart, so that the eight rows which an
// ldmatrix reads lie in different banks.
#pragma once
#include "cuda/attention_tile.h"
#include "cuda/ptx.h"

namespace mixwright::cuda {

constexpr int kMmaThreads = 128, kMmaWarps = 4;

// Pieces of 16 bytes can be copied.
inline bool takes_mma(const Matrix& x) {
  return !x.wide && x.width % 8 == 0 && x.width <= 128 && uintptr_t(x.memory) % 16 == 0;
}

// Begins to copy `count` <= kRows lanes; what is past the lanes or the head is 0. With kGrouped false the lanes are keys.
template <int kRows, int kCols, bool kGrouped>
__device__ inline void copy_tile(const Matrix& x, const Lanes& lanes, int first, int count, bf16* to) {
  constexpr int kPieces = kCols / 8;
  const bf16* const memory = static_cast<const bf16*>(x.memory);
#pragma unroll 2
  for (int i = threadIdx.x; i < kRows * kPieces; i += kMmaThreads) {
    const int r = i / kPieces, c = i % kPieces * 8;
    const bool there = r < count && c < x.width;
    const int64_t row = kGrouped ? lanes.at(x, there ? first + r : first)
                                 : int64_t(lanes.row + first + r) * x.cols + int64_t(lanes.head) * x.width;
    copy_async(to + r * (kCols + 8) + c, memory + (there ? row + c : 0), there ? 16 : 0);
  }
}

// The left factor of 16 × 16, from rows.
template <int kCols>
__device__ inline void load_left(uint32_t (&a)[4], const bf16* tile, int row, int column) {
  const int lane = threadIdx.x % kWarp;
  load_matrices<false>(a, tile + (row + lane % 16) * (kCols + 8) + column + lane / 16 * 8);
}

// Two right factors, 16 deep and 8 across each: right(k, n) = tile[row + n][column + k].
template <int kCols>
__device__ inline void load_right_rows(uint32_t (&b)[2][2], const bf16* tile, int row, int column) {
  const int lane = threadIdx.x % kWarp;
  uint32_t r[4];
  load_matrices<false>(r, tile + (row + lane / 16 * 8 + lane % 8) * (kCols + 8) + column + lane / 8 % 2 * 8);
  b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}

// The same, right(k, n) = tile[row + k][column + n].
template <int kCols>
__device__ inline void load_right(uint32_t (&b)[2][2], const bf16* tile, int row, int column) {
  const int lane = threadIdx.x % kWarp;
  uint32_t r[4];
  load_matrices<true>(r, tile + (row + lane % 16) * (kCols + 8) + column + lane / 16 * 8);
  b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}

// sum[m][n] = rows 16 m + … of `left` times rows 8 n + … of `right`, over the head's columns.
template <int kCols, int kM, int kN>
__device__ inline void multiply_rows(const bf16* left, const bf16* right, float (&sum)[kM][kN][4]) {
#pragma unroll
  for (int column = 0; column < kCols; column += 16) {
    uint32_t a[kM][4];
#pragma unroll
    for (int m = 0; m < kM; m++) load_left<kCols>(a[m], left, 16 * m, column);
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      uint32_t b[2][2];
      load_right_rows<kCols>(b, right, 8 * n, column);
#pragma unroll
      for (int m = 0; m < kM; m++) mma_bf16(sum[m][n], a[m], b[0]), mma_bf16(sum[m][n + 1], a[m], b[1]);
    }
  }
}

// sum[m] += factors[m] (16 × 8 kN, as mma leaves them, rounded to bf16) times the 8 kN rows of `right`.
template <int kCols, int kM, int kN>
__device__ inline void add_product(const float (&factors)[kM][kN][4], const bf16* right, float (&sum)[kM][kCols / 8][4]) {
#pragma unroll
  for (int k = 0; k < kN; k += 2) {
    uint32_t a[kM][4];
#pragma unroll
    for (int m = 0; m < kM; m++) {
#pragma unroll
      for (int i = 0; i < 4; i++) a[m][i] = pack_bf16(factors[m][k + i / 2][i % 2 * 2], factors[m][k + i / 2][i % 2 * 2 + 1]);
    }
#pragma unroll
    for (int n = 0; n < kCols / 8; n += 2) {
      uint32_t b[2][2];
      load_right<kCols>(b, right, 8 * k, 8 * n);
#pragma unroll
      for (int m = 0; m < kM; m++) mma_bf16(sum[m][n], a[m], b[0]), mma_bf16(sum[m][n + 1], a[m], b[1]);
    }
  }
}

// Two neighbours of a row.
__device__ inline void store_pair(const Matrix& x, int64_t at, float a, float b) {
  if (x.wide) {
    *reinterpret_cast<float2*>(static_cast<float*>(x.memory) + at) = make_float2(a, b);
  } else {
    *reinterpret_cast<uint32_t*>(static_cast<bf16*>(x.memory) + at) = pack_bf16(a, b);
  }
}

}  // namespace mixwright::cuda
