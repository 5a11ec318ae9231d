// A tile of C on the tensor cores: bf16 operands, f32 sums. Copies into shared memory run kStages - 1 steps of k ahead of the
// products, 16 bytes at a time, and lie there swizzled, so that neither they nor ldmatrix meet bank conflicts (Kerr et al.
// 2017, CUTLASS). A side that isn't aligned to 16 bytes is read element by element, into the same places.
#pragma once
#include <algorithm>

#include "cuda/gemm_side.h"
#include "cuda/ptx.h"

namespace mixwright::cuda {

// kRows × kCols of C by warps that have kWarpRows × kWarpCols each.
template <int kTileRows, int kTileCols, int kWarpRows, int kWarpCols, bool kLeftAlongK, bool kRightAlongK>
struct TensorCore {
  static constexpr int kRows = kTileRows, kCols = kTileCols, kDepth = 32, kStages = 4, kUnit = 8;
  static constexpr int kThreads = kWarp * (kRows / kWarpRows) * (kCols / kWarpCols), kLd = kCols + kSumsPad;
  static constexpr int kBlocks = kRows * kCols >= 128 * 128 ? 2 : 4;  // on a multiprocessor, at least
  static constexpr int kStage = (kRows + kCols) * kDepth;
  static constexpr int64_t kSharedBytes = std::max(kStages * kStage * 2, kRows * kLd * 4);

  // The element where piece `column` of a row lies in shared memory, of rows of kPieces pieces: 8 rows that follow each other
  // have the same column in 8 different groups of banks.
  template <int kPieces>
  static __device__ int place(int row, int column) {
    constexpr int kMask = kPieces < 8 ? kPieces - 1 : 7, kShare = kPieces < 8 ? 8 / kPieces : 1;
    return (row * kPieces + (column ^ (row / kShare & kMask))) * kUnit;
  }

  template <int kPieces, class P>
  static __device__ void fetch(P& pieces, const Side& side, bf16* stage) {
#pragma unroll
    for (int u = 0; u < P::kOwn; u++) {
      if (!P::mine(u)) continue;
      bf16* const to = stage + place<kPieces>(pieces.row(u), pieces.column(u));
      const int valid = pieces.valid(u);
      const uint16_t* const from = static_cast<const uint16_t*>(side.memory) + (valid ? pieces.begin(u) : 0);
      if (side.vectors) {
        copy_async(to, from, 2 * valid);
        continue;
      }
      uint32_t pairs[4];
#pragma unroll
      for (int p = 0; p < 4; p++) {
        const uint32_t low = 2 * p < valid ? __ldg(from + 2 * p) : 0, high = 2 * p + 1 < valid ? __ldg(from + 2 * p + 1) : 0;
        pairs[p] = low | high << 16;
      }
      *reinterpret_cast<uint4*>(to) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    }
    pieces.advance();
  }

  // Four 8 × 8 matrices: 16 rows (columns) of C from x on, 16 steps of k. The halves say which one this lane gives a row of.
  template <bool kAlongK, int kSize>
  static __device__ void fragments(uint32_t (&r)[4], const bf16* side, int x, int k, int x_half, int k_half) {
    const int own = int(threadIdx.x) % 8;
    if constexpr (kAlongK) {
      load_matrices<false>(r, side + place<kDepth / kUnit>(x + x_half * 8 + own, k / 8 + k_half));
    } else {
      load_matrices<true>(r, side + place<kSize / kUnit>(k + k_half * 8 + own, x / 8 + x_half));
    }
  }

  // Leaves the tile's sums in `shared`, rows of kLd; all threads may read them.
  static __device__ void multiply(const Side& a, const Side& b, const Task& task, void* shared) {
    constexpr int kMs = kWarpRows / 16, kNs = kWarpCols / 8;
    bf16* const stages = static_cast<bf16*>(shared);
    using Left = Pieces<kRows, kDepth, kUnit, kThreads>;
    using Right = Pieces<kCols, kDepth, kUnit, kThreads>;
    Left a_pieces(a, kLeftAlongK, task.a_first, task.row, task.rows, task.k_begin, task.k_end);
    Right b_pieces(b, kRightAlongK, task.b_first, task.col, task.cols, task.k_begin, task.k_end);
    const auto fetch_stage = [&](int stage) {
      bf16* const to = stages + stage * kStage;
      fetch<kLeftAlongK ? kDepth / kUnit : kRows / kUnit>(a_pieces, a, to);
      fetch<kRightAlongK ? kDepth / kUnit : kCols / kUnit>(b_pieces, b, to + kRows * kDepth);
    };
    const int steps = int(tiles_of(task.k_end - task.k_begin, kDepth));
    const int lane = int(threadIdx.x) % kWarp, warp = int(threadIdx.x) / kWarp;
    const int row = warp / (kCols / kWarpCols) * kWarpRows, col = warp % (kCols / kWarpCols) * kWarpCols;
    const int second = lane / 8 % 2, upper = lane / 16;  // of matrices 0 to 3: 1 and 3, 2 and 3

    float sums[kMs][kNs][4] = {};
    for (int stage = 0; stage < kStages - 1; stage++) {
      if (stage < steps) fetch_stage(stage);
      copy_commit();
    }
    for (int step = 0; step < steps; step++) {
      copy_wait<kStages - 2>();
      __syncthreads();  // and all have read the stage that is filled next
      if (step + kStages - 1 < steps) fetch_stage((step + kStages - 1) % kStages);
      copy_commit();
      const bf16 *const left = stages + step % kStages * kStage, *const right = left + kRows * kDepth;
#pragma unroll
      for (int k = 0; k < kDepth; k += 16) {
        uint32_t as[kMs][4], bs[kNs / 2][4];
#pragma unroll
        for (int m = 0; m < kMs; m++) fragments<kLeftAlongK, kRows>(as[m], left, row + m * 16, k, second, upper);
#pragma unroll
        for (int n = 0; n < kNs / 2; n++) fragments<kRightAlongK, kCols>(bs[n], right, col + n * 16, k, upper, second);
#pragma unroll
        for (int m = 0; m < kMs; m++) {
#pragma unroll
          for (int n = 0; n < kNs; n++) {
            const uint32_t pair[2] = {bs[n / 2][n % 2 * 2], bs[n / 2][n % 2 * 2 + 1]};
            mma_bf16(sums[m][n], as[m], pair);
          }
        }
      }
    }
    copy_wait<0>();
    __syncthreads();
    float* const out = static_cast<float*>(shared);
#pragma unroll
    for (int m = 0; m < kMs; m++) {
#pragma unroll
      for (int n = 0; n < kNs; n++) {
        float* const at = out + (row + m * 16 + lane / 4) * kLd + col + n * 8 + lane % 4 * 2;
        *reinterpret_cast<float2*>(at) = make_float2(sums[m][n][0], sums[m][n][1]);
        *reinterpret_cast<float2*>(at + 8 * kLd) = make_float2(sums[m][n][2], sums[m][n][3]);
      }
    }
    __syncthreads();
  }
};

}  // namespace mixwright::cuda
