// The matrix core: C = A · B for one tile of C, and for a whole matrix in parallel (Goto and van de Geijn 2008).
// A register block is 6 rows × 2 vectors. For each 256 steps of k a tile packs its rows of A once (L2), takes the panels of
// B four by four and keeps sums in f32 until the last step; then `finish` gets the sums, block by block:
//   finish(i, j, rows, cols, const float* sums, ld)    C[i … i+rows, j … j+cols] is sums[r · ld + c]
// Who needs a product in another form (scaled, rounded, as part of a softmax) brings a `finish`; see Store.
#pragma once
#include <algorithm>

#include "cpu/exec.h"
#include "cpu/gemm_few.h"

namespace mixwright::cpu::MW_ISA {

constexpr int kBlockRows = 6;
constexpr int kPanel = 2 * kLanes;  // columns of a register block
constexpr int64_t kDepth = 256;
constexpr int64_t kShallow = 32;  // up to here a tile's panels of B fit L1 and L2 all together
constexpr int64_t kPackCols = 4 * kPanel;  // columns of B packed together: rows of B are read in pieces of 256 bytes
constexpr int64_t kStripFloats = 1 << 21;  // the most of B that is packed for all tasks at once

struct Tile {
  int64_t row, rows, col, cols;
};

// Columns [col, …) of B that are packed already, for all of k: steps from k0 on begin at floats[k0 · cols]. None: null.
struct Packed {
  const float* floats = nullptr;
  int64_t col = 0, cols = 0;
};

// acc (+)= six rows of A · V vectors of B, over ks steps.
template <int V>
void register_block(const float* a, const float* b, int64_t ks, float* acc, bool add) {
  vf c[kBlockRows][V];
#pragma GCC unroll 6
  for (int r = 0; r < kBlockRows; r++) {
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) c[r][v] = add ? load(acc + r * kPanel + v * kLanes) : vf{};
  }
  for (int64_t k = 0; k < ks; k++, a += kBlockRows, b += kPanel) {
    vf y[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) y[v] = load(b + v * kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kBlockRows; r++) {
      const vf x = splat(a[r]);
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) c[r][v] += x * y[v];
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kBlockRows; r++) {
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) store(acc + r * kPanel + v * kLanes, c[r][v]);
  }
}

MW_INLINE int64_t depth_of(int64_t K) { return even_piece(K, kDepth, 8); }

// Floats of scratch that a tile of this size needs, rounded so that a caller's own may follow.
MW_INLINE int64_t tile_scratch(int64_t rows, int64_t cols) {
  const int64_t blocks = pieces(rows, kBlockRows), panels = pieces(cols, kPanel);
  const int64_t packed = (blocks * kBlockRows + kPackCols) * kDepth + blocks * panels * kBlockRows * kPanel + kLanes;
  return pieces(std::max(packed, few_scratch() + rows * cols), 16) * 16;
}

template <class Finish>
void packed_tile(const Operand& a, const Operand& b, const Packed& packed, Tile tile, int64_t K, float* scratch,
                 const Finish& finish) {
  const int64_t blocks = pieces(tile.rows, kBlockRows), depth = depth_of(K);
  const int64_t steps = K == 0 ? 1 : pieces(K, depth);
  float* const b_block = scratch;
  float* const acc = b_block + kPackCols * kDepth;
  float* const a_block = acc + blocks * pieces(tile.cols, kPanel) * kBlockRows * kPanel;
  for (int64_t step = 0; step < steps; step++) {
    const int64_t k0 = step * depth, ks = std::min(depth, K - k0);
    pack<kBlockRows>(a, tile.row, tile.rows, k0, ks, a_block);
    const auto multiply = [&](int64_t block, int64_t j, const float* panel) {
      const int64_t i = block * kBlockRows, cols = std::min<int64_t>(kPanel, tile.cols - j);
      // A single step uses the same, L1-hot sums again and again.
      float* const sums = steps == 1 ? acc : acc + (j / kPanel * blocks + block) * kBlockRows * kPanel;
      if (cols > kLanes) {
        register_block<2>(a_block + i * ks, panel, ks, sums, step > 0);
      } else {
        register_block<1>(a_block + i * ks, panel, ks, sums, step > 0);
      }
      if (step + 1 < steps) return;
      finish(tile.row + i, tile.col + j, std::min<int64_t>(kBlockRows, tile.rows - i), cols, sums, kPanel);
    };
    if (packed.floats && ks <= kShallow) {  // writing C is the work: row by row
      const float* const panels = packed.floats + k0 * packed.cols + (tile.col - packed.col) * ks;
      for (int64_t block = 0; block < blocks; block++) {
        for (int64_t j = 0; j < tile.cols; j += kPanel) multiply(block, j, panels + j * ks);
      }
      continue;
    }
    for (int64_t j = 0; j < tile.cols; j += kPanel) {
      const float* panel = b_block + j % kPackCols * ks;
      if (packed.floats) {
        panel = packed.floats + k0 * packed.cols + (tile.col + j - packed.col) * ks;
      } else if (j % kPackCols == 0) {
        pack<kPanel>(b, tile.col + j, std::min(kPackCols, tile.cols - j), k0, ks, b_block);
      }
      for (int64_t block = 0; block < blocks; block++) multiply(block, j, panel);
    }
  }
}

MW_INLINE bool few_rows(const Operand& b, int64_t rows, int64_t K) { return rows <= kFew && b.k_contiguous && K >= 32; }
MW_INLINE bool few_cols(const Operand& a, int64_t cols, int64_t K) { return cols <= kFew && a.k_contiguous && K >= 32; }

// One tile of C. `scratch` holds tile_scratch(rows, cols) floats.
template <class Finish>
void gemm_tile(const Operand& a, const Operand& b, const Packed& packed, Tile tile, int64_t K, float* scratch,
               const Finish& finish) {
  const bool rows_few = few_rows(b, tile.rows, K);
  if (packed.floats || !(rows_few || few_cols(a, tile.cols, K))) {
    return packed_tile(a, b, packed, tile, K, scratch, finish);
  }
  float* const sums = scratch + few_scratch();
  with_float_type((rows_few ? b : a).dtype, [&](auto type) {
    using T = decltype(type);
    if (rows_few) {
      dot_tile<T>(a, tile.row, tile.rows, b, tile.col, tile.cols, K, scratch, sums, tile.cols, 1);
    } else {
      dot_tile<T>(b, tile.col, tile.cols, a, tile.row, tile.rows, K, scratch, sums, 1, tile.cols);
    }
  });
  finish(tile.row, tile.col, tile.rows, tile.cols, sums, tile.cols);
}

// C in parallel. Where tiles lie above each other, B is packed once for all of them, strip by strip, into exec.shared slot 0;
// otherwise each tile packs its own. Tiles depend on M, N and K alone.
template <class Finish>
void gemm(Exec& exec, const Operand& a, const Operand& b, int64_t M, int64_t N, int64_t K, const Finish& finish) {
  if (M == 0 || N == 0) return;
  const bool share = M > 192 && K > 0 && !few_cols(a, N, K);
  const int64_t most_cols = share ? std::clamp<int64_t>(kStripFloats / K, 128, 512) : 256;
  int64_t rows = even_piece(M, share ? 96 : 192, kBlockRows), cols = even_piece(N, most_cols, kPanel);
  while (pieces(M, rows) * pieces(N, cols) < 16 && cols > 64) cols = even_piece(cols, cols - 1, kPanel);
  while (pieces(M, rows) * pieces(N, cols) < 8 && rows > 48) rows = even_piece(rows, rows - 1, kBlockRows);
  const int64_t row_tiles = pieces(M, rows);
  const int64_t strip = !share ? N : std::max<int64_t>(1, kStripFloats / (K * cols)) * cols;
  const int64_t depth = depth_of(K);
  for (int64_t col = 0; col < N; col += strip) {
    const int64_t strip_cols = std::min(strip, N - col), col_tiles = pieces(strip_cols, cols);
    Packed packed;
    if (share) {
      packed = {nullptr, col, pieces(strip_cols, kPanel) * kPanel};
      float* const floats = exec.shared<float>(packed.cols * K + kLanes);
      const int64_t groups = pieces(strip_cols, kPackCols);
      exec.parallel(groups * pieces(K, depth), [&](int64_t task, Worker&) {
        const int64_t k0 = task / groups * depth, ks = std::min(depth, K - k0), first = task % groups * kPackCols;
        pack<kPanel>(b, col + first, std::min(kPackCols, strip_cols - first), k0, ks, floats + k0 * packed.cols + first * ks);
      });
      packed.floats = floats;
    }
    exec.parallel(row_tiles * col_tiles, [&](int64_t task, Worker& worker) {
      const int64_t i = task % row_tiles * rows, j = task / row_tiles * cols;
      const Tile tile{i, std::min(rows, M - i), col + j, std::min(cols, strip_cols - j)};
      gemm_tile(a, b, packed, tile, K, worker.scratch<float>(tile_scratch(tile.rows, tile.cols)), finish);
    });
  }
}

// The plain finish: C = alpha · sums (+ bias) (+ C), in f32 or bf16.
struct Store {
  void* memory;
  DType dtype;
  int64_t stride;
  float alpha = 1;
  bool accumulate = false;
  const float* bias = nullptr;

  void operator()(int64_t i, int64_t j, int64_t rows, int64_t cols, const float* sums, int64_t ld) const {
    with_float_type(dtype, [&](auto type) {
      using T = decltype(type);
      for (int64_t r = 0; r < rows; r++) {
        T* c = static_cast<T*>(memory) + (i + r) * stride + j;
        const float* s = sums + r * ld;
        sweep(
            cols,
            [&](int64_t n) {
              vf y = load(s + n) * alpha;
              if (bias) y += load(bias + j + n);
              store(c + n, accumulate ? y + load(c + n) : y);
            },
            [&](int64_t n, int64_t left) {
              vf y = load(s + n, left) * alpha;
              if (bias) y += load(bias + j + n, left);
              store(c + n, accumulate ? y + load(c + n, left) : y, left);
            });
      }
    });
  }
};

}  // namespace mixwright::cpu::MW_ISA
