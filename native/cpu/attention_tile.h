// What attention and its gradient are made of. A panel is a matrix with kWidth lanes across, each lane one (query, head), and
// the head's width or a tile of keys down. So every product is "row of scalars times panel", the softmax runs down the
// lanes, and nothing is ever summed across a register.
#pragma once
#include <algorithm>
#include <cstdio>
#include <vector>

#include "core/checks.h"
#include "core/tensor.h"
#include "cpu/gemm_pack.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

constexpr int64_t kWidth = 2 * kLanes;
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRowBlock = 8;  // rows × 2 vectors of sums stay in registers
#else
constexpr int kRowBlock = 6;
#endif
constexpr int64_t kTile = 64;                    // keys that are in work at a time
constexpr int64_t kNoWindow = int64_t(1) << 30;
constexpr float kLog2e = 1.44269504088896f, kLn2 = 0.693147180559945f;  // scores are in units of ln 2 inside

// A run of rows of one document.
struct Block {
  int64_t row, count;      // in q
  int64_t position;        // of the first one within its document
  int64_t key_row, keys;   // the document's first key and their number
};

// Lanes of a block: `group` heads of each of its rows, rows outermost.
struct Lanes {
  Block block;
  int64_t group, kv_head;

  int64_t count() const { return block.count * group; }
  int64_t panels() const { return (count() + kWidth - 1) / kWidth; }
  int64_t row(int64_t lane) const { return block.row + lane / group; }
  int64_t head(int64_t lane) const { return kv_head * group + lane % group; }
  int64_t position(int64_t lane) const { return block.position + lane / group; }
};

[[noreturn]] static inline void refuse(const char* format, int64_t a, int64_t b, int64_t c) {
  char text[160];
  std::snprintf(text, sizeof text, format, (long long)a, (long long)b, (long long)c);
  throw KernelError(text);
}

// Cuts every document into blocks of `per_block` rows, and checks what only the data can tell.
static inline std::vector<Block> blocks_of(const In& offsets, const In& starts, const In& lengths, int64_t rows,
                                           int64_t key_rows, int64_t per_block) {
  const int32_t* offset = offsets.data<int32_t>();
  const int64_t documents = offsets.size() - 1;
  require(bool(starts) == bool(lengths), "starts and lengths come together");
  if (offset[0] != 0 || offset[documents] != rows) {
    refuse("offsets run from %lld to %lld, there are %lld rows", offset[0], offset[documents], rows);
  }
  std::vector<Block> blocks;
  for (int64_t d = 0; d < documents; d++) {
    const int64_t count = int64_t(offset[d + 1]) - offset[d];
    const int64_t start = starts ? starts.data<int32_t>()[d] : offset[d];
    const int64_t keys = lengths ? lengths.data<int32_t>()[d] : count;
    if (count < 0) refuse("offsets fall from %lld to %lld at document %lld", offset[d], offset[d + 1], d);
    if (keys < count) refuse("document %lld has %lld keys for %lld queries", d, keys, count);
    if (start < 0 || start + keys > key_rows) {
      refuse("document %lld ends at key row %lld, k has %lld rows", d, start < 0 ? start : start + keys, key_rows);
    }
    for (int64_t at = 0; at < count; at += per_block) {
      const int64_t size = count - at < per_block ? count - at : per_block;
      blocks.push_back({offset[d] + at, size, keys - count + at, start, keys});
    }
  }
  return blocks;
}

// Rows of a matrix whose row r lies `stride` elements after row r - 1.
struct Rows {
  const void* memory;
  DType dtype;
  int64_t stride;

  // Row `row` of a tensor from `column` on, and those below it.
  static Rows of(const View& x, int64_t row, int64_t column) {
    return {static_cast<const char*>(x.memory) + (row * x.cols() + column) * bytes_of(x.dtype), x.dtype, x.cols()};
  }
};


// Floats from one packed row to the next: not so round a number that many rows compete for the same places in L1.
MW_INLINE int64_t stride_of(int64_t width) { return whole_vectors(width) + (whole_vectors(width) % 128 == 0 ? 16 : 0); }

// Asks for rows that are needed soon: they lie too far apart for the processor to guess.
static inline void fetch_rows(const Rows& source, int64_t rows, int64_t width) {
  const int64_t size = bytes_of(source.dtype);
  const char* from = static_cast<const char*>(source.memory);
  for (int64_t row = 0; row < rows; row++, from += source.stride * size) {
    for (int64_t i = 0; i < width * size; i += 64) __builtin_prefetch(from + i);
  }
}

// target[r · stride + i] = factor · source[r][i], widened to f32; whole vectors are written.
static inline void pack_rows(const Rows& source, int64_t rows, int64_t width, float factor, float* target, int64_t stride) {
  with_float_type(source.dtype, [&](auto type) {
    using T = decltype(type);
    const T* from = static_cast<const T*>(source.memory);
    for (int64_t row = 0; row < rows; row++, from += source.stride, target += stride) {
      sweep(
          width, [&](int64_t i) { store(target + i, load(from + i) * factor); },
          [&](int64_t i, int64_t n) { store(target + i, load(from + i, n) * factor); });
    }
  });
}

// The (query, head) rows of a matrix [T, heads · width] that are `count` <= kLanes lanes from `lane` on.
template <class T>
MW_INLINE void find_rows(T* memory, int64_t stride, const Lanes& lanes, int64_t lane, int64_t count, int64_t width,
                         T* (&rows)[kLanes]) {
  int64_t row = lanes.row(lane), head = lane % lanes.group;
  for (int64_t r = 0; r < count; r++) {
    rows[r] = memory + row * stride + (lanes.kv_head * lanes.group + head) * width;
    if (++head == lanes.group) head = 0, row++;
  }
}

// By lanes: panel p at target + p·stride is [width][kWidth]; lanes past the last are 0. With `copy`, lane l's row is also
// written there as it is, to copy + l·copy_stride.
static inline void pack_lanes(const View& source, const Lanes& lanes, int64_t width, float factor, float* target,
                              int64_t stride, float* copy = nullptr, int64_t copy_stride = 0) {
  with_float_type(source.dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t lane = 0; lane < lanes.panels() * kWidth; lane += kLanes) {
      const int64_t count = std::clamp<int64_t>(lanes.count() - lane, 0, kLanes);
      const T* rows[kLanes];
      find_rows(static_cast<const T*>(source.memory), source.cols(), lanes, lane, count, width, rows);
      float* const panel = target + lane / kWidth * stride + lane % kWidth;
      for (int64_t i = 0; i < width; i += kLanes) {
        const int64_t n = width - i < kLanes ? width - i : kLanes;
        vf v[kLanes] = {};
        for (int64_t r = 0; r < count; r++) {
          v[r] = n == kLanes ? load(rows[r] + i) : load(rows[r] + i, n);
          if (copy) store(copy + (lane + r) * copy_stride + i, v[r]);
        }
        transpose(v);
        for (int64_t r = 0; r < n; r++) store(panel + (i + r) * kWidth, v[r] * factor);
      }
    }
  });
}

// Back to rows of a matrix [T, heads · width]: to = factor(lane) · panel, or to += … when `add`.
template <class T, class Factor>
MW_INLINE void unpack_lanes(const float* panels, int64_t panel_stride, const Lanes& lanes, int64_t width, const Factor& factor,
                            T* memory, int64_t stride, bool add) {
  for (int64_t lane = 0; lane < lanes.count(); lane += kLanes) {
    const int64_t count = std::min<int64_t>(lanes.count() - lane, kLanes);
    T* rows[kLanes];
    find_rows(memory, stride, lanes, lane, count, width, rows);
    const float* from = panels + lane / kWidth * panel_stride + lane % kWidth;
    const vf f = factor(lane);
    for (int64_t i = 0; i < width; i += kLanes) {
      const int64_t n = width - i < kLanes ? width - i : kLanes;
      vf v[kLanes] = {};
      for (int64_t r = 0; r < n; r++) v[r] = load(from + (i + r) * kWidth) * f;
      transpose(v);
      for (int64_t r = 0; r < count; r++) {
        T* const to = rows[r] + i;
        if (n == kLanes) {
          store(to, add ? load(to) + v[r] : v[r]);
        } else {
          store(to, add ? load(to, n) + v[r] : v[r], n);
        }
      }
    }
  }
}

// Factors of a product: left(i, k) at memory[i · row + k · depth], right(k, j) at memory[k · row + j].
struct LeftSide {
  const float* memory;
  int64_t row, depth;
};

struct RightSide {
  const float* memory;
  int64_t row;
};

// Where a product goes: the old content is dropped, kept, or kept times a factor for each lane.
struct Target {
  float* memory;
  int64_t row;
  bool keep = false;
  const float* factor = nullptr;
};

template <int N, int V>
static void multiply_block(LeftSide a, RightSide b, int64_t depth, Target c) {
  vf sum[N][V] = {};  // added to c at the end: long sums are sums of tiles, which loses less
  for (int64_t k = 0; k < depth; k++, a.memory += a.depth, b.memory += b.row) {
    vf y[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) y[v] = load(b.memory + v * kLanes);
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) {
      const vf x = splat(a.memory[n * a.row]);
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) sum[n][v] += x * y[v];
    }
  }
#pragma GCC unroll 8
  for (int n = 0; n < N; n++) {
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) {
      float* const at = c.memory + n * c.row + v * kLanes;
      vf old = c.keep ? load(at) : vf{};
      if (c.factor) old *= load(c.factor + v * kLanes);
      store(at, old + sum[n][v]);
    }
  }
}

template <int V, int N = kRowBlock>
MW_INLINE void multiply_rows(int64_t rows, LeftSide a, RightSide b, int64_t depth, Target c) {
  if constexpr (N == 1) {
    multiply_block<1, V>(a, b, depth, c);
  } else if (rows == N) {
    multiply_block<N, V>(a, b, depth, c);
  } else {
    multiply_rows<V, N - 1>(rows, a, b, depth, c);
  }
}

// c = a · b over `depth` steps; `cols` is a whole number of vectors. A remainder of rows is cut evenly: a block of one or two
// rows would leave the multipliers waiting.
static inline void multiply(int64_t rows, int64_t cols, LeftSide a, RightSide b, int64_t depth, Target c) {
  for (int64_t j = 0; j < cols; j += kWidth) {
    for (int64_t i = 0; i < rows;) {
      const int64_t left = rows - i, n = left >= 2 * kRowBlock ? kRowBlock : left > kRowBlock ? (left + 1) / 2 : left;
      const LeftSide a_block{a.memory + i * a.row, a.row, a.depth};
      const RightSide b_block{b.memory + j, b.row};
      const Target c_block{c.memory + i * c.row + j, c.row, c.keep, c.factor};
      if (cols - j > kLanes) {
        multiply_rows<2>(n, a_block, b_block, depth, c_block);
      } else {
        multiply_rows<1>(n, a_block, b_block, depth, c_block);
      }
      i += n;
    }
  }
}

// Row j keeps the lanes whose position is in [low + j, high + j); the others become -infinity. Positions rise with the lane.
static inline void mask(float* scores, int64_t stride, int64_t rows, const int32_t* position, int64_t low, int64_t high) {
  if (position[0] >= low + rows - 1 && position[kWidth - 1] < high) return;
  for (int64_t half = 0; half < kWidth; half += kLanes) {
    vi at;
    std::memcpy(&at, position + half, sizeof at);
    for (int64_t j = 0; j < rows; j++) {
      float* row = scores + j * stride + half;
      store(row, select((at >= int32_t(low + j)) & (at < int32_t(high + j)), load(row), splat(-INFINITY)));
    }
  }
}

}  // namespace mixwright::cpu::MW_ISA
