// The matrix core for tiles with few rows or few columns (one decoded token, a router, LoRA's narrow side), when k runs
// along the rows of the long side: that side is streamed once, straight from memory, and never packed. The other side, the
// few, lies in L1 and L2 as f32 rows.
#pragma once
#include <algorithm>

#include "cpu/gemm_pack.h"

namespace mixwright::cpu::MW_ISA {

constexpr int64_t kFew = 4;                   // the most rows on the narrow side
constexpr int64_t kFewFloats = 16384;         // of the narrow side at a time: fewer rows are taken deeper
constexpr int kFewBlock = 4, kManyBlock = 3;  // register block: 4 × 3 vectors of partial sums

// The sums of the lanes of each v[i], as one vector.
MW_INLINE vf sums(vf (&v)[kLanes]) {
  transpose(v);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; i++) v[i] += v[i + width];
  }
  return v[0];
}

// Sets (or, with `add`, adds to) out[f · few_step + m · many_step] for F × kManyBlock dot products, of which `many` count.
// `soon` is where the rows that come next begin; they are fetched meanwhile.
template <int F, class T>
void dot_block(const float* few, int64_t few_stride, const T* const (&rows)[kManyBlock], const T* const (&soon)[kManyBlock],
               int64_t ks, int64_t few_count, int64_t many_count, float* out, int64_t few_step, int64_t many_step, bool add) {
  constexpr int kSums = F * kManyBlock, kPadded = (kSums + kLanes - 1) / kLanes * kLanes;
  vf acc[kManyBlock][F] = {};
  const auto step = [&](const vf (&x)[kManyBlock], int64_t k) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int f = 0; f < F; f++) {
      const vf y = load(few + f * few_stride + k);
#pragma GCC unroll 3
      for (int m = 0; m < kManyBlock; m++) acc[m][f] += x[m] * y;
    }
  };
  constexpr int64_t kLine = 64 / int64_t(sizeof(T));
  int64_t k = 0;
  for (; k + kLine <= ks; k += kLine) {
    for (int m = 0; m < kManyBlock; m++) __builtin_prefetch(soon[m] + k, 0, 2);
#pragma GCC unroll 8
    for (int64_t i = 0; i < kLine; i += kLanes) {
      step({load(rows[0] + k + i), load(rows[1] + k + i), load(rows[2] + k + i)}, k + i);
    }
  }
  for (; k + kLanes <= ks; k += kLanes) step({load(rows[0] + k), load(rows[1] + k), load(rows[2] + k)}, k);
  if (k < ks) step({load(rows[0] + k, ks - k), load(rows[1] + k, ks - k), load(rows[2] + k, ks - k)}, k);
  float total[kPadded];
  for (int first = 0; first < kPadded; first += kLanes) {
    vf group[kLanes] = {};
    for (int i = 0; i < kLanes && first + i < kSums; i++) group[i] = acc[(first + i) / F][(first + i) % F];
    store(total + first, sums(group));
  }
  for (int64_t m = 0; m < many_count; m++) {
    for (int64_t f = 0; f < few_count; f++) {
      float& y = out[f * few_step + m * many_step];
      y = add ? y + total[m * F + f] : total[m * F + f];
    }
  }
}

constexpr int64_t few_scratch() { return kFewFloats; }

// out[f · few_step + m · many_step] = few row f · many row m, for outer indices from `few0` and `many0` on.
template <class T>
void dot_tile(const Operand& few, int64_t few0, int64_t few_count, const Operand& many, int64_t many0, int64_t many_count,
              int64_t K, float* scratch, float* out, int64_t few_step, int64_t many_step) {
  const int64_t few_padded = pieces(few_count, kFewBlock) * kFewBlock;
  const int64_t depth = kFewFloats / few_padded;
  for (int64_t k0 = 0; k0 < K; k0 += depth) {
    const int64_t ks = std::min(depth, K - k0), stride = pieces(ks, kLanes) * kLanes;
    std::memset(scratch, 0, size_t(few_padded * stride) * sizeof(float));
    with_float_type(few.dtype, [&](auto type) {
      using F = decltype(type);
      if (few.k_contiguous) {
        for (int64_t f = 0; f < few_count; f++) {
          const F* row = few.row<F>(few0 + f) + k0;
          for (int64_t k = 0; k < ks; k++) scratch[f * stride + k] = widen(row[k]);
        }
      } else {
        for (int64_t k = 0; k < ks; k++) {
          const F* row = few.row<F>(k0 + k) + few0;
          for (int64_t f = 0; f < few_count; f++) scratch[f * stride + k] = widen(row[f]);
        }
      }
    });
    for (int64_t m = 0; m < many_count; m += kManyBlock) {
      const int64_t ms = many_count - m < kManyBlock ? many_count - m : kManyBlock;
      const T *rows[kManyBlock], *soon[kManyBlock];
      for (int i = 0; i < kManyBlock; i++) {
        rows[i] = many.row<T>(many0 + m + (i < ms ? i : 0)) + k0;
        soon[i] = many.row<T>(many0 + std::min(m + kManyBlock + i, many_count - 1)) + k0;
      }
      float* row_out = out + m * many_step;
      if (few_count == 1) {
        dot_block<1>(scratch, stride, rows, soon, ks, 1, ms, row_out, few_step, many_step, k0 > 0);
        continue;
      }
      for (int64_t f = 0; f < few_count; f += kFewBlock) {
        dot_block<kFewBlock>(scratch + f * stride, stride, rows, soon, ks, std::min<int64_t>(few_count - f, kFewBlock), ms,
                             row_out + f * few_step, few_step, many_step, k0 > 0);
      }
    }
  }
}

}  // namespace mixwright::cpu::MW_ISA
