// A tile of C on the ordinary cores, in f32, for operands of which at least one is f32: never rounded to TF32. The next step of
// k waits in registers while one is multiplied from shared memory.
#pragma once
#include <algorithm>

#include "cuda/gemm_side.h"

namespace mixwright::cuda {

// kRows × kCols of C by threads that have kOwnRows × kOwnCols each, in groups of 4 × 4; any mix of formats, either way round.
template <int kTileRows, int kTileCols, int kOwnRows, int kOwnCols>
struct LaneCore {
  static constexpr int kRows = kTileRows, kCols = kTileCols, kUnit = 4;
  static constexpr int kThreads = (kRows / kOwnRows) * (kCols / kOwnCols), kLd = kCols + kSumsPad;
  static constexpr int kBlocks = kThreads > 128 ? 2 : 4, kDepth = kThreads > 128 ? 8 : 16;
  static constexpr int kPad = 4, kLeft = kDepth * (kRows + kPad), kStage = kLeft + kDepth * (kCols + kPad);
  static constexpr int64_t kSharedBytes = 4 * std::max(2 * kStage, kRows * kLd);
  // A warp is kLanesX lanes wide: its reads of either side lie together.
  static constexpr int kLanesX = kCols / kOwnCols < 8 ? kCols / kOwnCols : 8, kLanesY = kWarp / kLanesX;
  static constexpr int kWarpsX = kCols / kOwnCols / kLanesX;

  template <class P>
  static __device__ void fetch(P& pieces, const Side& side, float4 (&waiting)[P::kOwn]) {
#pragma unroll
    for (int u = 0; u < P::kOwn; u++) {
      float x[4] = {0, 0, 0, 0};
      const int valid = P::mine(u) ? pieces.valid(u) : 0;
      const int64_t at = valid ? pieces.begin(u) : 0;
      const float* const wide = static_cast<const float*>(side.memory) + at;
      const bf16* const narrow = static_cast<const bf16*>(side.memory) + at;
      if (valid == 4 && side.vectors && side.wide) {
        const float4 four = *reinterpret_cast<const float4*>(wide);
        x[0] = four.x, x[1] = four.y, x[2] = four.z, x[3] = four.w;
      } else if (valid == 4 && side.vectors) {
        const uint2 four = *reinterpret_cast<const uint2*>(narrow);
        x[0] = __uint_as_float(four.x << 16), x[1] = __uint_as_float(four.x & 0xffff0000u);
        x[2] = __uint_as_float(four.y << 16), x[3] = __uint_as_float(four.y & 0xffff0000u);
      } else {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          if (i < valid) x[i] = side.wide ? wide[i] : widen(narrow[i]);
        }
      }
      waiting[u] = make_float4(x[0], x[1], x[2], x[3]);
    }
    pieces.advance();
  }

  // Rows of kStride floats in shared memory, one for each step of k.
  template <int kStride, class P>
  static __device__ void put(const P& pieces, bool along_k, const float4 (&waiting)[P::kOwn], float* stage) {
#pragma unroll
    for (int u = 0; u < P::kOwn; u++) {
      if (!P::mine(u)) continue;
      const float4 x = waiting[u];
      if (along_k) {
        float* const to = stage + pieces.column(u) * 4 * kStride + pieces.row(u);
        to[0] = x.x, to[kStride] = x.y, to[2 * kStride] = x.z, to[3 * kStride] = x.w;
      } else {
        *reinterpret_cast<float4*>(stage + pieces.row(u) * kStride + pieces.column(u) * 4) = x;
      }
    }
  }

  static __device__ void multiply(const Side& a, const Side& b, const Task& task, void* shared) {
    float* const stages = static_cast<float*>(shared);
    using Left = Pieces<kRows, kDepth, kUnit, kThreads>;
    using Right = Pieces<kCols, kDepth, kUnit, kThreads>;
    Left a_pieces(a, a.along_k, task.a_first, task.row, task.rows, task.k_begin, task.k_end);
    Right b_pieces(b, b.along_k, task.b_first, task.col, task.cols, task.k_begin, task.k_end);
    const int steps = int(tiles_of(task.k_end - task.k_begin, kDepth));
    const int lane = int(threadIdx.x) % kWarp, warp = int(threadIdx.x) / kWarp;
    const int row = (warp / kWarpsX * kLanesY) * kOwnRows + lane / kLanesX * 4;
    const int col = (warp % kWarpsX * kLanesX) * kOwnCols + lane % kLanesX * 4;

    float4 a_next[Left::kOwn], b_next[Right::kOwn];
    const auto put_stage = [&](int stage) {
      put<kRows + kPad>(a_pieces, a.along_k, a_next, stages + stage * kStage);
      put<kCols + kPad>(b_pieces, b.along_k, b_next, stages + stage * kStage + kLeft);
    };
    float sums[kOwnRows][kOwnCols] = {};
    if (steps > 0) {
      fetch(a_pieces, a, a_next);
      fetch(b_pieces, b, b_next);
      put_stage(0);
    }
    __syncthreads();
    for (int step = 0; step < steps; step++) {
      const bool more = step + 1 < steps;
      if (more) {
        fetch(a_pieces, a, a_next);
        fetch(b_pieces, b, b_next);
      }
      const float *const left = stages + step % 2 * kStage + row, *const right = stages + step % 2 * kStage + kLeft + col;
#pragma unroll 2
      for (int k = 0; k < kDepth; k++) {
        float x[kOwnRows], y[kOwnCols];
#pragma unroll
        for (int m = 0; m < kOwnRows; m += 4) {
          const float4 four = *reinterpret_cast<const float4*>(left + k * (kRows + kPad) + m * kLanesY);
          x[m] = four.x, x[m + 1] = four.y, x[m + 2] = four.z, x[m + 3] = four.w;
        }
#pragma unroll
        for (int n = 0; n < kOwnCols; n += 4) {
          const float4 four = *reinterpret_cast<const float4*>(right + k * (kCols + kPad) + n * kLanesX);
          y[n] = four.x, y[n + 1] = four.y, y[n + 2] = four.z, y[n + 3] = four.w;
        }
#pragma unroll
        for (int m = 0; m < kOwnRows; m++) {
#pragma unroll
          for (int n = 0; n < kOwnCols; n++) sums[m][n] += x[m] * y[n];
        }
      }
      if (more) put_stage((step + 1) % 2);  // which all have read: the barrier after the step before
      __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < kOwnRows; m++) {
#pragma unroll
      for (int n = 0; n < kOwnCols; n += 4) {
        float* const at = stages + (row + m / 4 * 4 * kLanesY + m % 4) * kLd + col + n * kLanesX;
        *reinterpret_cast<float4*>(at) = make_float4(sums[m][n], sums[m][n + 1], sums[m][n + 2], sums[m][n + 3]);
      }
    }
    __syncthreads();
  }
};

}  // namespace mixwright::cuda
