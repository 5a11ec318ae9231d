// A block's tile of a narrow product in f32, by multiply and add (narrow.h): each of the 8 warps takes 16 columns, and a share
// of the tile's depth; a lane holds 8 × 4 sums.
#pragma once
#include "cuda/narrow_side.h"

namespace mixwright::cuda {

template <int kGroups, bool kLeftAlongK, bool kRightAlongK>
struct NarrowLanes {
  static constexpr int kWidth = kGroups * kNarrowGroup, kSlices = 8 / kGroups, kSlice = kNarrowTile / kSlices;
  static constexpr int kStride = kNarrowTile + 4, kRightStride = kLeftAlongK ? kStride : kWidth;
  static constexpr int kBlocks = 2;  // on a multiprocessor, at least
  static constexpr int kTiles = (kNarrowTile + kWidth) * kStride, kSums = kSlices * kNarrowTile * kWidth;
  static constexpr int64_t kSharedBytes = int64_t(sizeof(float)) * (kTiles > kSums ? kTiles : kSums);

  float* const memory;  // x as it lies: rows of kStride; then the narrow side, [column][depth] (kLeftAlongK) or [depth][column]
  float sums[8][4] = {};

  __device__ float* right() const { return memory + kNarrowTile * kStride; }

  __device__ void put_left(int row, int place, const float (&v)[4]) {
    *reinterpret_cast<float4*>(memory + row * kStride + place) = make_float4(v[0], v[1], v[2], v[3]);
  }
  __device__ void put_right(int line, int place, const float (&v)[4]) {
    if constexpr (kLeftAlongK == kRightAlongK) {
      *reinterpret_cast<float4*>(right() + line * kRightStride + place) = make_float4(v[0], v[1], v[2], v[3]);
    } else {
#pragma unroll
      for (int n = 0; n < 4; n++) right()[(place + n) * kRightStride + line] = v[n];
    }
  }

  __device__ void multiply() {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, d_first = warp / kGroups * kSlice;
    const int column = warp % kGroups * kNarrowGroup;
    if constexpr (kLeftAlongK) {
      const float* const own_left = memory + lane / 4 * kStride + d_first;
      const float* const own_right = right() + (column + lane % 4) * kRightStride + d_first;
#pragma unroll 1
      for (int d = 0; d < kSlice; d += 4) {
        float4 b[4];
#pragma unroll
        for (int j = 0; j < 4; j++) b[j] = *reinterpret_cast<const float4*>(own_right + 4 * j * kRightStride + d);
#pragma unroll
        for (int i = 0; i < 8; i++) {
          const float4 a = *reinterpret_cast<const float4*>(own_left + 8 * i * kStride + d);
#pragma unroll
          for (int j = 0; j < 4; j++) {
            sums[i][j] += a.x * b[j].x;
            sums[i][j] += a.y * b[j].y;
            sums[i][j] += a.z * b[j].z;
            sums[i][j] += a.w * b[j].w;
          }
        }
      }
    } else {
      const float* const own_left = memory + d_first * kStride + lane / 4 * 4;
      const float* const own_right = right() + d_first * kRightStride + column + lane % 4 * 4;
#pragma unroll(kGroups == 4 ? 1 : 2)  // more takes more registers than there are
      for (int d = 0; d < kSlice; d++) {
        const float4 b = *reinterpret_cast<const float4*>(own_right + d * kRightStride);
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const float4 a = *reinterpret_cast<const float4*>(own_left + d * kStride + 32 * half);
          const float as[4] = {a.x, a.y, a.z, a.w};
#pragma unroll
          for (int i = 0; i < 4; i++) {
            sums[4 * half + i][0] += as[i] * b.x;
            sums[4 * half + i][1] += as[i] * b.y;
            sums[4 * half + i][2] += as[i] * b.z;
            sums[4 * half + i][3] += as[i] * b.w;
          }
        }
      }
    }
  }

  // Leaves this warp's sums in memory, [slice][64][kWidth].
  __device__ void put_sums() const {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    float* const out = memory + warp / kGroups * kNarrowTile * kWidth + warp % kGroups * kNarrowGroup;
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const int row = kLeftAlongK ? lane / 4 + 8 * i : i / 4 * 32 + lane / 4 * 4 + i % 4;
#pragma unroll
      for (int j = 0; j < 4; j++) out[row * kWidth + (kLeftAlongK ? lane % 4 + 4 * j : lane % 4 * 4 + j)] = sums[i][j];
    }
  }
};

}  // namespace mixwright::cuda
