// The matrix core: C = A · B for one tile of C, and for a whole matrix in parallel (Goto and van de Geijn 2008).
// For each few hundred steps of k a tile packs its rows of A once (L2), takes the panels of B one by one (L1) and keeps
// sums in f32 until the last step; then `finish` gets the sums, block by block:
//   finish(i, j, rows, cols, const float* sums, ld)    C[i … i+rows, j … j+cols] is sums[r · ld + c]
// Who needs a product in another form (scaled, rounded, as part of a softmax) brings a `finish`; see Store, which has f32
// sums written where they belong at once.
// What is used only a few times is not packed, but read where it lies: A's rows along k if there are few columns, B's rows
// along its columns if there are few rows. If only the other side lies so, they change places: Cᵀ = Bᵀ · Aᵀ.
#pragma once
#include <algorithm>

#include "cpu/caches.h"
#include "cpu/exec.h"
#include "cpu/gemm_block.h"
#include "cpu/gemm_few.h"

namespace mixwright::cpu::MW_ISA {

constexpr int64_t kDepth = 256;            // steps of k at a time
constexpr int64_t kFlatDepth = 64;         // and where B's rows are read in place: that many pages of memory
constexpr int64_t kShallow = 32;           // up to here a tile's panels of B fit L1 and L2 all together
constexpr int64_t kPackCols = 4 * kPanel;  // columns of B packed together: rows of B are read in pieces of 256 bytes
constexpr int64_t kTiles = 24;             // no fewer where there is room, so that threads end together
constexpr int64_t kNarrow = 96;            // so many columns are few: A's rows are read in place
constexpr int64_t kFlat = 24;              // so many rows are few: B's rows are read in place

struct Tile {
  int64_t row, rows, col, cols;
  Tile turned() const { return {col, cols, row, rows}; }
};

// Columns [col, …) of B that are packed already, for all of k, `depth` steps at a time: those from k0 on begin at
// floats[k0 · cols]. None: null.
struct Packed {
  const float* floats = nullptr;
  int64_t col = 0, cols = 0, depth = 0;
};

// Tells a finish that has an `ahead` that its turn comes after one more register block: time to fetch what it writes.
template <class Finish>
MW_INLINE auto look_ahead(const Finish& finish, int64_t i, int64_t j, int64_t rows, int64_t cols)
    -> decltype(finish.ahead(i, j, rows, cols)) {
  finish.ahead(i, j, rows, cols);
}
template <class Finish, class... Rest>
MW_INLINE void look_ahead(const Finish&, Rest...) {}

// Where a finish that has a `place` wants the sums of C[i, j …]; of others, and of a finish that must see them, at = null.
template <class Finish>
MW_INLINE auto place_of(const Finish& finish, int64_t i, int64_t j) -> decltype(finish.place(i, j)) {
  return finish.place(i, j);
}
template <class Finish, class... Rest>
MW_INLINE Into place_of(const Finish&, Rest...) {
  return {};
}

MW_INLINE int64_t depth_of(int64_t K) { return even_piece(K, kDepth, 8); }

// Floats of sums of a tile, whatever the height of its blocks.
MW_INLINE int64_t sums_of(int64_t rows, int64_t cols) {
  return (rows + kMostRows) * pieces(cols, kPanel) * kPanel;
}

// Steps of k of a narrow tile: as many as an eighth of L2 has room for of B, so that A's rows are read in long pieces.
MW_INLINE int64_t narrow_floats(int64_t cols) {
  return std::max(l2_bytes() / 8 / int64_t(sizeof(float)), pieces(cols, kPanel) * kPanel * kDepth);
}
MW_INLINE int64_t narrow_depth(int64_t K, int64_t cols) {
  return even_piece(K, narrow_floats(cols) / (pieces(cols, kPanel) * kPanel), 8);
}

MW_INLINE int64_t blocked_scratch(int64_t rows, int64_t cols) {
  const int64_t narrow = cols <= kNarrow ? narrow_floats(cols) + 8 * pieces(cols, kPanel) * kPanel : 0;
  const int64_t b_floats = std::max(kPackCols * kDepth, narrow);
  return pieces(rows, kBlockRows) * kBlockRows * kDepth + b_floats + sums_of(rows, cols) + kLanes;
}

// Floats of scratch that a tile of this size needs, rounded so that a caller's own may follow.
MW_INLINE int64_t tile_scratch(int64_t rows, int64_t cols) {
  const int64_t few = few_scratch() + rows * cols, turned = blocked_scratch(cols, rows) + rows * (cols + kLanes);
  const bool may_turn = rows <= kNarrow || cols <= kFlat;
  return pieces(std::max({blocked_scratch(rows, cols), few, may_turn ? turned : 0}), 16) * 16;
}

// One product of register blocks within a tile: multiplies, and finishes after the last step of k.
template <Left kLeft, class T, class Finish>
class Multiply {
 public:
  Multiply(Tile tile, int64_t steps, float* sums, const Finish& finish)
      : tile_(tile), rows_(block_rows(kLeft, tile.cols)), blocks_(pieces(tile.rows, rows_)), steps_(steps), sums_(sums),
        finish_(finish) {}

  int64_t blocks() const { return blocks_; }
  int64_t first_row(int64_t block) const { return block * rows_; }

  template <Right kRight>
  void block(int64_t step, int64_t block, int64_t j, const T* a, int64_t a_stride, const float* b, int64_t b_stride,
             int64_t ks, Soon soon) const {
    const int64_t i = block * rows_, rows = std::min(rows_, tile_.rows - i), cols = std::min<int64_t>(kPanel, tile_.cols - j);
    const auto multiply = register_block_for<kLeft, kRight, T>(rows, cols);
    // A single step uses the same, L1-hot sums again and again.
    float* const sums = steps_ == 1 ? sums_ : sums_ + (j / kPanel * blocks_ + block) * rows_ * kPanel;
    const float* const carry = step > 0 ? sums : nullptr;
    Into into{sums, kPanel, 1, false, carry};
    const bool last = step + 1 == steps_;
    if (last && cols % kLanes == 0) {
      const Into place = place_of(finish_, tile_.row + i, tile_.col + j);
      if (place.at) into = {place.at, place.stride, place.alpha, place.add, carry, place.past_caches};
    }
    if (last && into.at == sums) look_ahead(finish_, tile_.row + i, tile_.col + j, rows, cols);
    multiply(a, a_stride, b, b_stride, ks, into, soon);
    if (last && into.at == sums) finish_(tile_.row + i, tile_.col + j, rows, cols, sums, kPanel);
  }

 private:
  Tile tile_;
  int64_t rows_, blocks_, steps_;
  float* sums_;
  const Finish& finish_;
};

// A narrow tile: all panels of B are packed for each step of k, A's rows are read in place.
template <class T, class Finish>
void narrow_tile(const Operand& a, const Operand& b, const Packed& packed, Tile tile, int64_t K, float* scratch,
                 const Finish& finish) {
  const int64_t depth = packed.floats ? packed.depth : narrow_depth(K, tile.cols), steps = pieces(K, depth);
  float* const b_block = scratch;
  const Multiply<Left::kRows, T, Finish> multiply(tile, steps, b_block + pieces(tile.cols, kPanel) * kPanel * depth, finish);
  for (int64_t step = 0; step < steps; step++) {
    const int64_t k0 = step * depth, ks = std::min(depth, K - k0);
    if (!packed.floats) pack<kPanel>(b, tile.col, tile.cols, k0, ks, b_block);
    const float* const right = packed.floats ? packed.floats + k0 * packed.cols + (tile.col - packed.col) * ks : b_block;
    for (int64_t block = 0; block < multiply.blocks(); block++) {
      const T* const left = a.row<T>(tile.row + multiply.first_row(block)) + k0;
      const Soon next{left + multiply.first_row(1) * a.stride, multiply.first_row(1), a.stride * int64_t(sizeof(T)),
                      16 * int64_t(sizeof(T))};
      for (int64_t j = 0; j < tile.cols; j += kPanel) {
        multiply.template block<Right::kPacked>(step, block, j, left, a.stride, right + j * ks, kPanel, ks,
                                                j == 0 ? next : Soon{});
      }
    }
  }
}

// A flat tile: A is packed, B's rows are read in place.
template <class Finish>
void flat_tile(const Operand& a, const Operand& b, Tile tile, int64_t K, float* scratch, const Finish& finish) {
  const int64_t depth = even_piece(K, kFlatDepth, 8), steps = pieces(K, depth);
  float* const sums = scratch + kPackCols * kDepth;
  float *const b_block = scratch, *const a_block = sums + sums_of(tile.rows, tile.cols);
  const Multiply<Left::kPacked, float, Finish> multiply(tile, steps, sums, finish);
  for (int64_t step = 0; step < steps; step++) {
    const int64_t k0 = step * depth, ks = std::min(depth, K - k0);
    pack<kBlockRows>(a, tile.row, tile.rows, k0, ks, a_block);
    const float* const right = b.row<float>(k0) + tile.col;
    for (int64_t j = 0; j < tile.cols; j += kPanel) {
      const int64_t cols = std::min<int64_t>(kPanel, tile.cols - j);
      const bool whole = cols % kLanes == 0;  // vectors; or they would reach over the end of B
      if (!whole) pack<kPanel>(b, tile.col + j, cols, k0, ks, b_block);
      for (int64_t block = 0; block < multiply.blocks(); block++) {
        const float* const left = a_block + block * kBlockRows * ks;
        if (whole) {
          multiply.template block<Right::kRows>(step, block, j, left, 0, right + j, b.stride, ks, Soon{});
        } else {
          multiply.template block<Right::kPacked>(step, block, j, left, 0, b_block, kPanel, ks, Soon{});
        }
      }
    }
  }
}

// Rows of B, along k, that a tile packs after its columns from `j` on: the next ones, or the first ones of the next step.
class PackedNext {
 public:
  PackedNext(const Operand& b, Tile tile, int64_t j, int64_t k0, int64_t ks, int64_t K) : b_(b) {
    j += kPackCols;
    const bool next_step = j >= tile.cols;
    if (next_step) j = 0;
    k_ = next_step ? k0 + ks : k0;
    row_ = tile.col + j;
    if (b.k_contiguous && !b.rows && k_ < K) rows_ = std::min(kPackCols, tile.cols - j);
  }

  // The share of register block `index` of `count`.
  Soon part(int64_t index, int64_t count) const {
    const int64_t begin = rows_ * index / count, size = bytes_of(b_.dtype);
    return {static_cast<const char*>(b_.memory) + ((row_ + begin) * b_.stride + k_) * size,
            rows_ * (index + 1) / count - begin, b_.stride * size, 16 * size};
  }

 private:
  const Operand& b_;
  int64_t k_, row_, rows_ = 0;
};

template <class Finish>
void packed_tile(const Operand& a, const Operand& b, const Packed& packed, Tile tile, int64_t K, float* scratch,
                 const Finish& finish) {
  const int64_t depth = packed.floats ? packed.depth : depth_of(K), steps = K == 0 ? 1 : pieces(K, depth);
  float* const b_block = scratch;
  float* const sums = b_block + kPackCols * kDepth;
  float* const a_block = sums + sums_of(tile.rows, tile.cols);
  const Multiply<Left::kPacked, float, Finish> multiply(tile, steps, sums, finish);
  for (int64_t step = 0; step < steps; step++) {
    const int64_t k0 = step * depth, ks = std::min(depth, K - k0);
    pack<kBlockRows>(a, tile.row, tile.rows, k0, ks, a_block);
    const auto left = [&](int64_t block) { return a_block + block * kBlockRows * ks; };
    if (packed.floats && ks <= kShallow) {  // writing C is the work: row by row
      const float* const panels = packed.floats + k0 * packed.cols + (tile.col - packed.col) * ks;
      for (int64_t block = 0; block < multiply.blocks(); block++) {
        for (int64_t j = 0; j < tile.cols; j += kPanel) {
          multiply.template block<Right::kPacked>(step, block, j, left(block), 0, panels + j * ks, kPanel, ks, Soon{});
        }
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
      // Beside each block a part of the next panel, or of what is packed next.
      const int64_t blocks = multiply.blocks(), lines = pieces(kPanel, blocks), before = j % kPackCols / kPanel * blocks;
      const PackedNext next(b, tile, j / kPackCols * kPackCols, k0, ks, K);
      for (int64_t block = 0; block < blocks; block++) {
        const Soon soon = packed.floats ? Soon{panel + kPanel * ks + block * lines * ks, lines, 64, 64 * lines}
                                        : next.part(before + block, kPackCols / kPanel * blocks);
        multiply.template block<Right::kPacked>(step, block, j, left(block), 0, panel, kPanel, ks, soon);
      }
    }
  }
}

// Is it cheaper not to pack A (B), because there are few columns (rows) to use it?
MW_INLINE bool in_place_left(const Operand& a, int64_t cols, int64_t K) { return cols <= kNarrow && a.k_contiguous && !a.rows && K > 0; }
MW_INLINE bool in_place_right(const Operand& b, int64_t rows, int64_t K) {
  return rows <= kFlat && !b.k_contiguous && !b.rows && b.dtype == DType::f32 && K > 0;
}

template <class Finish>
void blocked_tile(const Operand& a, const Operand& b, const Packed& packed, Tile tile, int64_t K, float* scratch,
                  const Finish& finish) {
  if (in_place_left(a, tile.cols, K)) {
    with_float_type(a.dtype, [&](auto type) { narrow_tile<decltype(type)>(a, b, packed, tile, K, scratch, finish); });
  } else if (!packed.floats && in_place_right(b, tile.rows, K)) {
    flat_tile(a, b, tile, K, scratch, finish);
  } else {
    packed_tile(a, b, packed, tile, K, scratch, finish);
  }
}

MW_INLINE bool few_rows(const Operand& b, int64_t rows, int64_t K) { return rows <= kFew && b.k_contiguous && K >= 32; }
MW_INLINE bool few_cols(const Operand& a, int64_t cols, int64_t K) { return cols <= kFew && a.k_contiguous && K >= 32; }

// The shorter side is the rows, and B's lie like those that a narrow tile reads in place; or the columns, and A's lie like
// those of a flat one.
MW_INLINE bool turns(const Operand& a, const Operand& b, int64_t rows, int64_t cols, int64_t K) {
  return K >= 32 && (rows < cols ? in_place_left(b, rows, K) : cols < rows && in_place_right(a, cols, K));
}

// One tile of C. `scratch` holds tile_scratch(rows, cols) floats.
template <class Finish>
void gemm_tile(const Operand& a, const Operand& b, const Packed& packed, Tile tile, int64_t K, float* scratch,
               const Finish& finish) {
  if (packed.floats) return blocked_tile(a, b, packed, tile, K, scratch, finish);
  const bool rows_few = few_rows(b, tile.rows, K);
  if (rows_few || few_cols(a, tile.cols, K)) {
    float* const sums = scratch + few_scratch();
    with_float_type((rows_few ? b : a).dtype, [&](auto type) {
      using T = decltype(type);
      if (rows_few) {
        dot_tile<T>(a, tile.row, tile.rows, b, tile.col, tile.cols, K, scratch, sums, tile.cols, 1);
      } else {
        dot_tile<T>(b, tile.col, tile.cols, a, tile.row, tile.rows, K, scratch, sums, 1, tile.cols);
      }
    });
    return finish(tile.row, tile.col, tile.rows, tile.cols, sums, tile.cols);
  }
  if (!turns(a, b, tile.rows, tile.cols, K)) return blocked_tile(a, b, packed, tile, K, scratch, finish);
  const int64_t ld = tile.cols + kLanes;
  float* const sums = scratch + blocked_scratch(tile.cols, tile.rows);
  blocked_tile(b, a, packed, tile.turned(), K, scratch,
               [&](int64_t j, int64_t i, int64_t cols, int64_t rows, const float* block, int64_t block_ld) {
                 unturn(block, block_ld, cols, rows, sums + (i - tile.row) * ld + j - tile.col, ld);
               });
  finish(tile.row, tile.col, tile.rows, tile.cols, sums, ld);
}

// The most rows and columns of a tile that shares its B, and the most of B that is packed for all tasks at once: packed A and
// sums take two thirds of L2.
struct Shared {
  int64_t rows, cols, strip_floats;
};
MW_INLINE Shared shared_tile() {
  return l2_bytes() < (1 << 20) ? Shared{96, 512, 1 << 21} : Shared{192, 1024, 1 << 22};
}

// C in parallel. Where tiles lie above each other, B is packed once for all of them, strip by strip, into exec.shared slot 0;
// otherwise each tile packs its own. Tiles depend on M, N and K, and on L2; what is read in place is summed in other steps of
// k, so their sizes can be seen in the last bits.
template <class Finish>
void gemm(Exec& exec, const Operand& a, const Operand& b, int64_t M, int64_t N, int64_t K, const Finish& finish) {
  if (M == 0 || N == 0) return;
  const bool share = M > 192 && K > 0 && !few_cols(a, N, K) && !turns(a, b, M, N, K);
  const Shared most = shared_tile();
  int64_t rows = even_piece(M, share ? most.rows : 192, kBlockRows);
  int64_t cols = even_piece(N, share ? std::clamp<int64_t>(most.strip_floats / K, 128, most.cols) : 256, kPanel);
  // A short side is packed by every tile: they must be long.
  const int64_t least_rows = N > kNarrow ? 48 : share ? kBlockRows : 128, least_cols = M <= kNarrow ? 128 : 64;
  const auto too_few = [&] { return pieces(M, rows) * pieces(N, cols) < kTiles; };
  while (too_few() && cols > 256) cols = even_piece(cols, cols - 1, kPanel);
  while (too_few() && rows > least_rows) rows = even_piece(rows, rows - 1, kBlockRows);
  while (too_few() && cols > least_cols) cols = even_piece(cols, cols - 1, kPanel);
  const int64_t row_tiles = pieces(M, rows);
  const int64_t strip = !share ? N : std::max<int64_t>(1, most.strip_floats / (K * cols)) * cols;
  const int64_t depth = in_place_left(a, N, K) ? narrow_depth(K, N) : depth_of(K);
  for (int64_t col = 0; col < N; col += strip) {
    const int64_t strip_cols = std::min(strip, N - col), col_tiles = pieces(strip_cols, cols);
    Packed packed;
    if (share) {
      packed = {nullptr, col, pieces(strip_cols, kPanel) * kPanel, depth};
      float* const floats = exec.shared<float>(packed.cols * K + kLanes);
      const int64_t group = depth > kDepth ? kPanel : kPackCols, groups = pieces(strip_cols, group);
      const int64_t parts = pieces(depth, kDepth);  // of a step
      exec.parallel(groups * parts * pieces(K, depth), [&](int64_t task, Worker&) {
        const int64_t first = task % groups * group, part = task / groups % parts * kDepth, k0 = task / groups / parts * depth;
        const int64_t ks = std::min(depth, K - k0);
        pack<kPanel>(b, col + first, std::min(group, strip_cols - first), k0 + part, std::clamp<int64_t>(ks - part, 0, kDepth),
                     floats + k0 * packed.cols + first * ks + part * kPanel);
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
  bool past_caches = false;  // C is much larger than the caches; `after_streams` ends a task

  Into place(int64_t i, int64_t j) const {
    if (dtype != DType::f32 || bias) return {};
    float* const at = static_cast<float*>(memory) + i * stride + j;
    const bool aligned = (uintptr_t(at) | uintptr_t(stride * sizeof(float))) % (kLanes * sizeof(float)) == 0;
    return {at, stride, alpha, accumulate, nullptr, past_caches && aligned && !accumulate};
  }

  void ahead(int64_t i, int64_t j, int64_t rows, int64_t cols) const {
    const int64_t size = bytes_of(dtype);
    for (int64_t r = 0; r < rows; r++) {
      const char* const c = static_cast<const char*>(memory) + ((i + r) * stride + j) * size;
      for (int64_t at = 0; at < cols * size; at += 64) __builtin_prefetch(c + at, 1, 3);
    }
  }

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
