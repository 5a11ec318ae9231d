// Operands of the matrix core, and how they are copied into f32 panels: W outer indices (rows of the left operand, columns
// of the right one) side by side for each k, panel[k · W + outer]. bf16 is widened, rows are gathered and transposes are
// undone on the way, so that the core itself knows one layout.
#pragma once
#include "core/checks.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

// A matrix in memory, `stride` elements from one stored row to the next. A stored row is one outer index with k running
// along it (k_contiguous), or one k with the outer index running along it. Stored row i may be picked by `rows`.
struct Operand {
  const void* memory;
  DType dtype;
  int64_t stride;
  bool k_contiguous;
  const int32_t* rows = nullptr;

  template <class T>
  const T* row(int64_t i) const {
    return static_cast<const T*>(memory) + (rows ? rows[i] : i) * stride;
  }

  // The same matrix without its first `count` stored rows.
  Operand from(int64_t count) const {
    if (rows) return {memory, dtype, stride, k_contiguous, rows + count};
    return {static_cast<const char*>(memory) + count * stride * bytes_of(dtype), dtype, stride, k_contiguous};
  }
};

MW_INLINE int64_t pieces(int64_t count, int64_t size) { return (count + size - 1) / size; }

// The size of equal pieces, at most `most` each and multiples of `unit`, that cover `count`.
MW_INLINE int64_t even_piece(int64_t count, int64_t most, int64_t unit) {
  const int64_t parts = count > most ? pieces(count, most) : 1;
  return pieces(pieces(count, parts), unit) * unit;
}

// v[i][j] ← v[j][i]
#if MW_LANES == 8
MW_INLINE void transpose(vf (&v)[8]) {
  vf a[8], b[8];
  for (int i = 0; i < 4; i++) {
    a[2 * i] = __builtin_shufflevector(v[2 * i], v[2 * i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    a[2 * i + 1] = __builtin_shufflevector(v[2 * i], v[2 * i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 2; i++) {
    for (int j = 0; j < 2; j++) {
      b[4 * i + 2 * j] = __builtin_shufflevector(a[4 * i + j], a[4 * i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      b[4 * i + 2 * j + 1] = __builtin_shufflevector(a[4 * i + j], a[4 * i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int i = 0; i < 4; i++) {
    v[i] = __builtin_shufflevector(b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    v[i + 4] = __builtin_shufflevector(b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}
#else
MW_INLINE void transpose(vf (&v)[4]) {
  const vf a = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5), b = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
  const vf c = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5), d = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
  v[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
  v[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  v[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
  v[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}
#endif

// One panel from rows that run along k: blocks of kLanes × kLanes are transposed in registers. Outer indices past `count`
// read as 0. Stores are whole vectors: up to kLanes floats behind the panel are overwritten.
template <int W, class T>
void pack_k_contiguous(const Operand& x, int64_t outer, int64_t count, int64_t k0, int64_t ks, float* panel) {
  constexpr int kGroups = (W + kLanes - 1) / kLanes;
  const T* row[W];
  for (int i = 0; i < W; i++) row[i] = x.row<T>(outer + (i < count ? i : 0)) + k0;
  int64_t k = 0;
  for (; k + kLanes <= ks; k += kLanes) {
    vf v[kGroups][kLanes];
    for (int g = 0; g < kGroups; g++) {
      for (int i = 0; i < kLanes; i++) {
        const int r = g * kLanes + i;
        v[g][i] = r < W && r < count ? load(row[r < W ? r : 0] + k) : vf{};
      }
      transpose(v[g]);
    }
    for (int i = 0; i < kLanes; i++) {
      for (int g = 0; g < kGroups; g++) store(panel + (k + i) * W + g * kLanes, v[g][i]);
    }
  }
  for (; k < ks; k++) {
    for (int i = 0; i < W; i++) panel[k * W + i] = i < count ? widen(row[i][k]) : 0.0f;
  }
}

// Neighbouring panels from rows that run along the outer index, one row at a time. W is a whole number of vectors, or one
// vector reaches over the next k's place, which is written later.
template <int W, class T>
void pack_outer_contiguous(const Operand& x, int64_t outer, int64_t count, int64_t k0, int64_t ks, float* panel) {
  for (int64_t k = 0; k < ks; k++) {
    const T* row = x.row<T>(k0 + k) + outer;
    int64_t done = 0;
    for (float* out = panel + k * W; done < count; done += W, out += W * ks) {
      constexpr int kWhole = (W + kLanes - 1) / kLanes * kLanes;
      if (done + kWhole <= count && (kWhole == W || k + 1 < ks)) {
        for (int i = 0; i < kWhole; i += kLanes) store(out + i, load(row + done + i));
      } else {
        for (int i = 0; i < W; i++) out[i] = done + i < count ? widen(row[done + i]) : 0.0f;
      }
    }
  }
}

// Packs outer indices [outer, outer + count) and k in [k0, k0 + ks) into pieces(count, W) panels of W · ks floats.
template <int W>
void pack(const Operand& x, int64_t outer, int64_t count, int64_t k0, int64_t ks, float* panels) {
  with_float_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    if (!x.k_contiguous) return pack_outer_contiguous<W, T>(x, outer, count, k0, ks, panels);
    for (int64_t i = 0; i < count; i += W, panels += W * ks) {
      pack_k_contiguous<W, T>(x, outer + i, count - i < W ? count - i : W, k0, ks, panels);
    }
  });
}

}  // namespace mixwright::cpu::MW_ISA
