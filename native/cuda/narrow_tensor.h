// A block's tile of a narrow product on the tensor cores (narrow.h): x in bf16, the narrow side in f32, sums in f32:
//   x · right = x · high + x · low    high: right rounded to bf16, low: right - high rounded to bf16
// To round to bf16 changes a number by 2⁻⁹ of it at most, so high + low is right within 2⁻¹⁸, and the product of two bf16 is
// exact in f32: a sum is off by at most 4e-6 · Σ |x · right|, besides what adding up in f32 costs. Where an operand is bf16 the
// specs ask for 1e-2; a third term, for the last 2⁻²⁴, would cost half as much again. A bf16 right is exact, its low part 0.
//   A block: 64 × 64 of x and 64 × kWidth of right a step, in shared memory as they lie in memory, right as two parts, lines
// padded by 16 bytes: the 8 lines that an ldmatrix reads are in different banks. A warp owns 32 rows × 16 columns of out in a
// share of the step's depth: all 64, 32 or 16 of it where out has 64, 32 or 16 columns; at the end the shares are added in
// order. Bytes of a step: 8192 of x from memory, 256 · kWidth of right, mostly from L2; 8 products of 16 × 8 × 16 read 2048 of
// shared memory. By an H200's peak rates the first of these takes longest up to r = 32, the others at r = 64.
#pragma once
#include "cuda/narrow_side.h"
#include "cuda/ptx.h"

namespace mixwright::cuda {

template <int kGroups, bool kLeftAlongK, bool kRightAlongK>
struct NarrowTensor {
  static constexpr int kWidth = kGroups * kNarrowGroup, kRows = 32, kCols = 16;  // of out; of a warp
  static constexpr int kMs = kRows / 16, kNs = kCols / 8, kSlices = 4 / kGroups, kSlice = kNarrowTile / kSlices;
  static constexpr int kBlocks = 3;  // on a multiprocessor, at least
  static constexpr int kPad = 8, kLeftStride = kNarrowTile + kPad, kRightStride = (kRightAlongK ? kNarrowTile : kWidth) + kPad;
  static constexpr int kPart = (kRightAlongK ? kWidth : kNarrowTile) * kRightStride;
  static constexpr int kTiles = 2 * (kNarrowTile * kLeftStride + 2 * kPart), kSums = 4 * kSlices * kNarrowTile * kWidth;
  static constexpr int64_t kSharedBytes = kTiles > kSums ? kTiles : kSums;

  float* const memory;  // x; then right's high parts, and its low ones
  float sums[kMs][kNs][4] = {};

  __device__ bf16* left() const { return reinterpret_cast<bf16*>(memory); }
  __device__ bf16* right() const { return left() + kNarrowTile * kLeftStride; }

  static __device__ void put(bf16* to, uint32_t first, uint32_t second) {
    *reinterpret_cast<uint2*>(to) = make_uint2(first, second);
  }
  __device__ void put_left(int line, int place, const float (&v)[4]) {
    put(left() + line * kLeftStride + place, pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]));
  }
  __device__ void put_right(int line, int place, const float (&v)[4]) {
    bf16* const to = right() + line * kRightStride + place;
    uint32_t high[2], low[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const float first = v[2 * h], second = v[2 * h + 1];
      high[h] = pack_bf16(first, second);
      low[h] = pack_bf16(rest(first, high[h] << 16), rest(second, high[h] & 0xffff0000u));
    }
    put(to, high[0], high[1]);
    put(to + kPart, low[0], low[1]);
  }
  // Of what is infinite or beyond bf16 the high part says all.
  static __device__ float rest(float v, uint32_t high) {
    const float low = v - __uint_as_float(high);
    return isfinite(low) ? low : 0.0f;
  }

  // Where warp `warp` works: rows, columns, slice of the depth.
  static __device__ int row_of(int warp) { return warp % 2 * kRows; }
  static __device__ int column_of(int warp) { return warp / 2 % kGroups * kCols; }
  static __device__ int slice_of(int warp) { return warp / 2 / kGroups; }

  __device__ void multiply() {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, k_first = slice_of(warp) * kSlice;
    const int front = lane % 16, back = lane / 16 * 8, inner = lane / 16 * 8 + lane % 8, outer = lane / 8 % 2 * 8;
    // The row that this lane gives to an ldmatrix: of rows of out × k, and of k × columns. With the other order in memory the
    // matrices are transposed on the way.
    const bf16* const a = left() + (kLeftAlongK ? (row_of(warp) + front) * kLeftStride + k_first + back
                                                : (k_first + inner) * kLeftStride + row_of(warp) + outer);
    const bf16* const b = right() + (kRightAlongK ? (column_of(warp) + inner) * kRightStride + k_first + outer
                                                  : (k_first + front) * kRightStride + column_of(warp) + back);
#pragma unroll 2
    for (int k = 0; k < kSlice; k += 16) {
      uint32_t as[kMs][4];
#pragma unroll
      for (int m = 0; m < kMs; m++) {
        load_matrices<!kLeftAlongK>(as[m], a + (kLeftAlongK ? 16 * m * kLeftStride + k : k * kLeftStride + 16 * m));
      }
#pragma unroll
      for (int part = 1; part >= 0; part--) {  // the small terms first
#pragma unroll
        for (int n = 0; n < kNs; n += 2) {
          uint32_t bs[4];
          load_matrices<!kRightAlongK>(
              bs, b + part * kPart + (kRightAlongK ? 8 * n * kRightStride + k : k * kRightStride + 8 * n));
          const uint32_t first[2] = {bs[0], bs[1]}, second[2] = {bs[2], bs[3]};
#pragma unroll
          for (int m = 0; m < kMs; m++) mma_bf16(sums[m][n], as[m], first), mma_bf16(sums[m][n + 1], as[m], second);
        }
      }
    }
  }

  // Leaves this warp's sums in memory, [slice][64][kWidth].
  __device__ void put_sums() const {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    const int row = slice_of(warp) * kNarrowTile + row_of(warp) + lane / 4;
    float* const out = memory + row * kWidth + column_of(warp) + lane % 4 * 2;
#pragma unroll
    for (int m = 0; m < kMs; m++) {
#pragma unroll
      for (int n = 0; n < kNs; n++) {
        float* const at = out + 16 * m * kWidth + 8 * n;
        *reinterpret_cast<float2*>(at) = make_float2(sums[m][n][0], sums[m][n][1]);
        *reinterpret_cast<float2*>(at + 8 * kWidth) = make_float2(sums[m][n][2], sums[m][n][3]);
      }
    }
  }
};

}  // namespace mixwright::cuda
