// Products with one narrow side, such as the rank of LoRA. Elements of the wide side are broadcast, one by one, and each
// meets kLanes columns of the narrow side at a time:
//   out[i · out_step + c] (+)= Σ_k wide[i · step + k · along] · panel[k · panel_step + c]
#pragma once
#include <algorithm>

#include "cpu/drop.h"
#include "cpu/gemm_pack.h"

namespace mixwright::cpu::MW_ISA {

constexpr int kNarrowRows = 6;
constexpr int64_t kAhead = 128;  // elements
constexpr int64_t kWidened = 512, kWideStride = kWidened + 16;  // rows a power of two apart would share cache sets

struct Panel {
  const float* floats;
  int64_t step, columns;  // whole vectors
};

// R rows × V vectors. `Ahead`: the rows come from memory, one element after the other, and are asked for in advance.
template <int R, int V, bool Ahead>
void narrow_block(const float* wide, int64_t step, int64_t along, const float* panel, int64_t panel_step, int64_t ks,
                  float* out, int64_t out_step, bool add) {
  vf acc[R][V];
#pragma GCC unroll 6
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) acc[r][v] = add ? load(out + r * out_step + v * kLanes) : vf{};
  }
  const auto steps = [&](int64_t from, int64_t to) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int64_t k = from; k < to; k++) {
      vf y[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) y[v] = load(panel + k * panel_step + v * kLanes);
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
    for (int v = 0; v < V; v++) store(out + r * out_step + v * kLanes, acc[r][v]);
  }
}

template <bool Ahead = false>
void narrow_product(const float* wide, int64_t rows, int64_t step, int64_t along, const Panel& panel, int64_t ks, float* out,
                    int64_t out_step, bool add) {
  const auto block = [&](auto count, int64_t i) __attribute__((always_inline)) {
    constexpr int R = decltype(count)::value;
    const float* const x = wide + i * step;
    float* const y = out + i * out_step;
    int64_t c = 0;
    for (; c + 2 * kLanes <= panel.columns; c += 2 * kLanes) {
      narrow_block<R, 2, Ahead>(x, step, along, panel.floats + c, panel.step, ks, y + c, out_step, add);
    }
    if (c < panel.columns) narrow_block<R, 1, Ahead>(x, step, along, panel.floats + c, panel.step, ks, y + c, out_step, add);
  };
  int64_t i = 0;
  for (; i + kNarrowRows <= rows; i += kNarrowRows) block(std::integral_constant<int, kNarrowRows>{}, i);
  for (; i < rows; i++) block(std::integral_constant<int, 1>{}, i);
}

// Asks for a piece of a row that is needed soon.
template <bool Write = false, class T>
MW_INLINE void ask(const T* x, int64_t count) {
  for (int64_t i = 0; i < count; i += 64 / int64_t(sizeof(T))) __builtin_prefetch(x + i, Write, 2);
}

// Copies a block of a matrix, widened and, with `drop`, masked. `first` is the number of its first element in the matrix.
// The block that lies `ahead` elements further is asked for.
template <class T>
void copy_block(const T* x, int64_t stride, int64_t rows, int64_t cols, const Drop* drop, int64_t first,
                int64_t ahead, float* out, int64_t out_stride) {
  for (int64_t r = 0; r < rows; r++) {
    const T* const from = x + r * stride;
    float* const to = out + r * out_stride;
    ask(from + ahead, cols);
    if (drop) {
      drop->apply(first + r * stride, from, to, cols);
    } else {
      sweep(cols, [&](int64_t n, auto... lanes) { store(to + n, load(from + n, lanes...), lanes...); });
    }
  }
}

constexpr int64_t kStreamScratch = kNarrowRows * kWideStride;

// sums [count][panel.columns] (+)= rows of x, read along k straight from memory, · panel. bf16 and dropped rows pass
// through `scratch`, kStreamScratch floats, six at a time.
template <class T>
void stream_rows(const T* x, int64_t count, int64_t stride, const Panel& panel, int64_t ks, const Drop* drop, int64_t first,
                 float* scratch, float* sums, bool add) {
  if constexpr (std::is_same_v<T, float>) {
    if (!drop) return narrow_product<true>(x, count, stride, 1, panel, ks, sums, panel.columns, add);
  }
  for (int64_t i = 0; i < count; i += kNarrowRows) {
    const int64_t rows = std::min<int64_t>(kNarrowRows, count - i);
    for (int64_t k = 0; k < ks; k += kWidened) {
      const int64_t part = std::min(kWidened, ks - k);
      copy_block(x + i * stride + k, stride, rows, part, drop, first + i * stride + k, kWidened, scratch, kWideStride);
      narrow_product(scratch, rows, kWideStride, 1, {panel.floats + k * panel.step, panel.step, panel.columns}, part,
                     sums + i * panel.columns, panel.columns, add || k > 0);
    }
  }
}

// panel[k · step + c] = row c of x at k, widened. Columns from `count` to the next whole vector are 0.
template <class T>
void narrow_pack(const T* x, int64_t stride, int64_t count, int64_t ks, float* panel, int64_t step) {
  for (int64_t c = 0; c < count; c += kLanes) {
    const int64_t rows = std::min<int64_t>(kLanes, count - c);
    int64_t k = 0;
    for (; k + kLanes <= ks; k += kLanes) {
      vf v[kLanes];
      for (int i = 0; i < kLanes; i++) v[i] = i < rows ? load(x + (c + i) * stride + k) : vf{};
      transpose(v);
      for (int i = 0; i < kLanes; i++) store(panel + (k + i) * step + c, v[i]);
    }
    for (; k < ks; k++) {
      for (int i = 0; i < kLanes; i++) panel[k * step + c + i] = i < rows ? widen(x[(c + i) * stride + k]) : 0.0f;
    }
  }
}

}  // namespace mixwright::cpu::MW_ISA
