// What attention and its gradient are made of. A panel is a matrix with kWidth lanes across, each lane one (query, head) or
// one key, and the head's width or a tile of the other side down. So every product is "row of scalars times panel", the
// softmax runs down the lanes, and nothing is ever summed across a register.
#pragma once
#include <cstdio>
#include <vector>

#include "core/checks.h"
#include "core/tensor.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

constexpr int64_t kWidth = 2 * kLanes;
constexpr int64_t kTile = 64;        // rows of the other side that are in work at a time
constexpr int64_t kBlockLanes = 64;  // of a task
constexpr int64_t kNoWindow = int64_t(1) << 30;

// A run of rows of one document: the lanes of a task.
struct Block {
  int64_t row, count;      // in q (or in k, for dk and dv)
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

// target[row][i] = factor · source[first + row][column + i], widened to f32.
static inline void pack_rows(const View& source, int64_t first, int64_t column, int64_t rows, int64_t width, float factor,
                             float* target) {
  with_float_type(source.dtype, [&](auto type) {
    const auto* from = static_cast<const decltype(type)*>(source.memory) + first * source.cols() + column;
    for (int64_t row = 0; row < rows; row++, from += source.cols(), target += width) {
      sweep(
          width, [&](int64_t i) { store(target + i, load(from + i) * factor); },
          [&](int64_t i, int64_t n) { store(target + i, load(from + i, n) * factor, n); });
    }
  });
}

// The same by lanes: panel p at target + p·stride is [width][kWidth]; lanes past the last are 0.
static inline void pack_lanes(const View& source, const Lanes& lanes, int64_t width, float factor, float* target,
                              int64_t stride) {
  with_float_type(source.dtype, [&](auto type) {
    for (int64_t lane = 0; lane < lanes.panels() * kWidth; lane++) {
      float* to = target + lane / kWidth * stride + lane % kWidth;
      if (lane >= lanes.count()) {
        for (int64_t i = 0; i < width; i++) to[i * kWidth] = 0;
        continue;
      }
      const auto* from = static_cast<const decltype(type)*>(source.memory) + lanes.row(lane) * source.cols() +
                         lanes.head(lane) * width;
      for (int64_t i = 0; i < width; i++) to[i * kWidth] = widen(from[i]) * factor;
    }
  });
}

static inline void unpack_lanes(const float* source, int64_t stride, const Lanes& lanes, int64_t width, const View& target) {
  with_float_type(target.dtype, [&](auto type) {
    for (int64_t lane = 0; lane < lanes.count(); lane++) {
      const float* from = source + lane / kWidth * stride + lane % kWidth;
      auto* to = static_cast<decltype(type)*>(target.memory) + lanes.row(lane) * target.cols() + lanes.head(lane) * width;
      for (int64_t i = 0; i < width; i++) narrow(from[i * kWidth], to[i]);
    }
  });
}

template <int N>
MW_INLINE void multiply_rows(const float* a, int64_t row_step, int64_t depth_step, const float* b, int64_t depth, float* c,
                             bool add) {
  vf sum[N][2] = {};  // added to c at the end: long sums are sums of tiles, which loses less
  for (int64_t k = 0; k < depth; k++) {
    const vf left = load(b + k * kWidth), right = load(b + k * kWidth + kLanes);
    for (int n = 0; n < N; n++) {
      const vf x = splat(a[n * row_step + k * depth_step]);
      sum[n][0] += x * left;
      sum[n][1] += x * right;
    }
  }
  for (int n = 0; n < N; n++) {
    float* row = c + n * kWidth;
    store(row, add ? load(row) + sum[n][0] : sum[n][0]);
    store(row + kLanes, add ? load(row + kLanes) + sum[n][1] : sum[n][1]);
  }
}

// c[i][lane] = Σ_k a[i·row_step + k·depth_step] · b[k][lane], or c += … when `add`.
static inline void multiply(const float* a, int64_t row_step, int64_t depth_step, int64_t rows, const float* b, int64_t depth,
                            float* c, bool add) {
  constexpr int N = 4;
  int64_t i = 0;
  for (; i + N <= rows; i += N) multiply_rows<N>(a + i * row_step, row_step, depth_step, b, depth, c + i * kWidth, add);
  for (; i < rows; i++) multiply_rows<1>(a + i * row_step, row_step, depth_step, b, depth, c + i * kWidth, add);
}

// Row j keeps the lanes whose position is in [low + j, high + j); the others become -infinity. Positions rise with the lane.
static inline void mask(float* scores, int64_t rows, const int32_t* position, int64_t low, int64_t high) {
  if (position[0] >= low + rows - 1 && position[kWidth - 1] < high) return;
  for (int64_t half = 0; half < 2; half++) {
    vi at;
    std::memcpy(&at, position + half * kLanes, sizeof at);
    for (int64_t j = 0; j < rows; j++) {
      float* row = scores + j * kWidth + half * kLanes;
      store(row, select((at >= int32_t(low + j)) & (at < int32_t(high + j)), load(row), splat(-INFINITY)));
    }
  }
}

static inline void scale_lanes(float* panel, int64_t rows, const float* factor) {
  const vf left = load(factor), right = load(factor + kLanes);
  for (int64_t i = 0; i < rows; i++) {
    store(panel + i * kWidth, load(panel + i * kWidth) * left);
    store(panel + i * kWidth + kLanes, load(panel + i * kWidth + kLanes) * right);
  }
}

}  // namespace mixwright::cpu::MW_ISA
