// Operands of the matrix core, and how they are copied into f32 panels: W outer indices (rows of the left operand, columns
// of the right one) side by side for each k, panel[k · W + outer]. bf16 is widened, rows are gathered and transposes are
// undone on the way, so that the core itself knows one layout.
#pragma once
#include <utility>

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

MW_INLINE int64_t whole_vectors(int64_t floats) { return pieces(floats, kLanes) * kLanes; }

// The size of equal pieces, at most `most` each and multiples of `unit`, that cover `count`.
MW_INLINE int64_t even_piece(int64_t count, int64_t most, int64_t unit) {
  const int64_t parts = count > most ? pieces(count, most) : 1;
  return pieces(pieces(count, parts), unit) * unit;
}

// One round of a transposition: lanes with bit S of a change places with lanes without it of b, which lies S rows below.
template <int S, int... I>
MW_INLINE void exchange(vf& a, vf& b, std::integer_sequence<int, I...>) {
  const vf upper = __builtin_shufflevector(a, b, ((I & S) ? I - S + kLanes : I)...);
  const vf lower = __builtin_shufflevector(a, b, ((I & S) ? I + kLanes : I + S)...);
  a = upper;
  b = lower;
}

// v[i][j] ← v[j][i]
template <int S = 1>
MW_INLINE void transpose(vf (&v)[kLanes]) {
  if constexpr (S < kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; i++) {
      if (!(i & S)) exchange<S>(v[i], v[i + S], std::make_integer_sequence<int, kLanes>{});
    }
    transpose<2 * S>(v);
  }
}

// to[c · to_ld + r] = from[r · from_ld + c]. `from` is read in whole vectors, and up to kLanes floats behind each row of `to`
// are overwritten.
MW_INLINE void unturn(const float* from, int64_t from_ld, int64_t rows, int64_t cols, float* to, int64_t to_ld) {
  for (int64_t r = 0; r < rows; r += kLanes) {
    for (int64_t c = 0; c < cols; c += kLanes) {
      vf v[kLanes];
      for (int i = 0; i < kLanes; i++) v[i] = r + i < rows ? load(from + (r + i) * from_ld + c) : vf{};
      transpose(v);
      for (int i = 0; i < kLanes && c + i < cols; i++) store(to + (c + i) * to_ld + r, v[i]);
    }
  }
}

MW_INLINE void prefetch(const void* address) { __builtin_prefetch(address, 0, 3); }

// One panel from rows that run along k: blocks of kLanes × kLanes are transposed in registers. `count` outer indices are
// left, from the panel's first on; past them it reads as 0. Stores are whole vectors: up to kLanes floats behind the panel are overwritten.
template <int W, class T>
void pack_k_contiguous(const Operand& x, int64_t outer, int64_t count, int64_t k0, int64_t ks, float* panel) {
  constexpr int kGroups = (W + kLanes - 1) / kLanes;
  const T* row[W];
  for (int i = 0; i < W; i++) row[i] = x.row<T>(outer + (i < count ? i : 0)) + k0;
  const T* ahead[W];  // the next panel's rows
  for (int i = 0; i < W; i++) ahead[i] = i + W < count ? x.row<T>(outer + W + i) + k0 : row[i];
  int64_t k = 0;
  for (; k + kLanes <= ks; k += kLanes) {
    for (int i = 0; i < W && k % (64 / int64_t(sizeof(T))) == 0; i++) prefetch(ahead[i] + k);
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

constexpr int64_t kRowsAhead = 4;

// Neighbouring panels from rows that run along the outer index, one row at a time. W is a whole number of vectors, or one
// vector reaches over the places of the next k, which are written later.
template <int W, class T>
void pack_outer_contiguous(const Operand& x, int64_t outer, int64_t count, int64_t k0, int64_t ks, float* panel) {
  for (int64_t k = 0; k < ks; k++) {
    const T* row = x.row<T>(k0 + k) + outer;
    if (k + kRowsAhead < ks) {
      const T* const ahead = x.row<T>(k0 + k + kRowsAhead) + outer;
      for (int64_t at = 0; at < count; at += 64 / int64_t(sizeof(T))) prefetch(ahead + at);
    }
    int64_t done = 0;
    for (float* out = panel + k * W; done < count; done += W, out += W * ks) {
      constexpr int kWhole = (W + kLanes - 1) / kLanes * kLanes;
      if (done + kWhole <= count && kWhole <= (ks - k) * W) {
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
      pack_k_contiguous<W, T>(x, outer + i, count - i, k0, ks, panels);
    }
  });
}

}  // namespace mixwright::cpu::MW_ISA
