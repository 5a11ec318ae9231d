// Products with one narrow side, such as the rank of LoRA. The wide matrix is read once, where it lies: each element is
// broadcast and meets kLanes columns of the narrow side at a time, which are packed as panel[k · width + c].
//   out[i][c] (+)= Σ_k wide[i · step + k · along] · panel[k · width + c]
#pragma once
#include <algorithm>

#include "cpu/gemm_pack.h"

namespace mixwright::cpu::MW_ISA {

constexpr int kNarrowRows = 6;
constexpr int64_t kAhead = 128;  // elements

// Columns of the narrow side, rounded up to whole vectors.
MW_INLINE int64_t narrow_width(int64_t columns) { return pieces(columns, kLanes) * kLanes; }

// R rows × V vectors. `Ahead`: the rows come from memory, one element after the other, and are asked for in advance.
template <int R, int V, bool Ahead>
void narrow_block(const float* wide, int64_t step, int64_t along, const float* panel, int64_t width, int64_t ks, float* out,
                  bool add) {
  vf acc[R][V];
#pragma GCC unroll 6
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) acc[r][v] = add ? load(out + r * width + v * kLanes) : vf{};
  }
  const auto steps = [&](int64_t from, int64_t to) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int64_t k = from; k < to; k++) {
      vf y[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) y[v] = load(panel + k * width + v * kLanes);
#pragma GCC unroll 6
      for (int r = 0; r < R; r++) {
        const vf x = splat(wide[r * step + k * along]);
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) acc[r][v] += x * y[v];
      }
    }
  };
  int64_t k = 0;
  if constexpr (Ahead) {
    for (; k + 16 <= ks; k += 16) {  // a cache line of each row
      for (int r = 0; r < R; r++) __builtin_prefetch(wide + r * step + k + kAhead);
      steps(k, k + 16);
    }
  }
  steps(k, ks);
#pragma GCC unroll 6
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) store(out + r * width + v * kLanes, acc[r][v]);
  }
}

// All rows, all columns. out[i · width + c], `width` from narrow_width.
template <bool Ahead>
void narrow_product(const float* wide, int64_t rows, int64_t step, int64_t along, const float* panel, int64_t width,
                    int64_t ks, float* out, bool add) {
  const auto columns = [&](auto count, int64_t i) __attribute__((always_inline)) {
    constexpr int R = decltype(count)::value;
    int64_t c = 0;
    for (; c + 2 * kLanes <= width; c += 2 * kLanes) {
      narrow_block<R, 2, Ahead>(wide + i * step, step, along, panel + c, width, ks, out + i * width + c, add);
    }
    if (c < width) narrow_block<R, 1, Ahead>(wide + i * step, step, along, panel + c, width, ks, out + i * width + c, add);
  };
  int64_t i = 0;
  for (; i + kNarrowRows <= rows; i += kNarrowRows) columns(std::integral_constant<int, kNarrowRows>{}, i);
  for (; i < rows; i++) columns(std::integral_constant<int, 1>{}, i);
}

// panel[k · width + c] = x's row c at k, widened; columns past `count` are 0.
template <class T>
void narrow_pack(const T* x, int64_t stride, int64_t count, int64_t ks, float* panel, int64_t width) {
  for (int64_t c = 0; c < width; c += kLanes) {
    const int64_t rows = count - c < kLanes ? count - c : kLanes;
    int64_t k = 0;
    for (; k + kLanes <= ks; k += kLanes) {
      vf v[kLanes];
      for (int i = 0; i < kLanes; i++) v[i] = i < rows ? load(x + (c + i) * stride + k) : vf{};
      transpose(v);
      for (int i = 0; i < kLanes; i++) store(panel + (k + i) * width + c, v[i]);
    }
    for (; k < ks; k++) {
      for (int i = 0; i < kLanes; i++) panel[k * width + c + i] = i < rows ? widen(x[(c + i) * stride + k]) : 0.0f;
    }
  }
}

}  // namespace mixwright::cpu::MW_ISA
