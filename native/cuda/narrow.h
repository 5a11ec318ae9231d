// Products with a narrow side of r columns, any r: what low-rank adapters add to a layer. Two shapes, with sums in f32:
//   narrow_down:    out [rows, r] = x [rows, depth] · right [depth, r]     the sum goes along x's rows
//   narrow_across:  out [cols, r] = xᵀ [cols, rows] · narrow [rows, r]     the sum goes down x's columns
// x, the wide side, is read once up to r = 64, and once more for each further 64 columns.
//
// A block has a tile of 64 × 64 of x and one of the narrow side in shared memory at a time, and the next ones on their way in
// registers. A core multiplies them: of bf16 x, whatever r, the tensor cores (narrow_tensor.h), of f32 x the lanes
// (narrow_lanes.h). Below r = 16 both compute 16 columns, so that a small r is no reason for the lanes. The warps share out the
// tile's depth and the narrow columns; when the block is through, their sums are added in order. Where rows (or columns) alone
// are too few blocks, the depth is cut into parts by the shape, and the parts' sums are added in order by who asked.
#pragma once
#include <algorithm>
#include <type_traits>

#include "cuda/drop.h"
#include "cuda/narrow_lanes.h"
#include "cuda/narrow_tensor.h"
#include "cuda/tiles.h"

namespace mixwright::cuda {

constexpr int64_t kNarrowBlocks = 396;  // so many keep a large device busy

// So many rows of `cols` f32 stay in the cache of a large device, and are enough for a product to keep it busy.
inline int64_t cached_rows(int64_t cols) {
  constexpr int64_t kBytes = limit(32 << 20, 0), kFewest = limit(256, 32);
  const int64_t fit = kBytes / 4 / (cols < 1 ? 1 : cols) / kFewest * kFewest;
  return fit < kFewest ? kFewest : fit;
}

// How the sums' depth is cut, by the shape alone: `length` is a multiple of a tile.
struct Parts {
  int64_t count = 1, length = kNarrowTile;
  Parts(int64_t depth, int64_t tiles) {
    if (depth <= 0) return;
    const int64_t most = pieces(depth, 4 * kNarrowTile), wanted = pieces(kNarrowBlocks, tiles < 1 ? 1 : tiles);
    length = pieces(pieces(depth, wanted < most ? wanted : most), kNarrowTile) * kNarrowTile;
    count = pieces(depth, length);
  }
};

// Calls body(std::integral_constant of the groups of 16 columns that a block takes).
template <class Body>
void with_groups(int64_t r, const Body& body) {
  if (r <= kNarrowGroup) return body(std::integral_constant<int, 1>{});
  if (r <= 2 * kNarrowGroup) return body(std::integral_constant<int, 2>{});
  body(std::integral_constant<int, 4>{});
}

template <class X, int kGroups, bool kLeftAlongK, bool kRightAlongK>
using NarrowCore = std::conditional_t<std::is_same_v<X, bf16>, NarrowTensor<kGroups, kLeftAlongK, kRightAlongK>,
                                      NarrowLanes<kGroups, kLeftAlongK, kRightAlongK>>;

// out [parts, batch, rows, r]: element (d, j) of right is right[batch · right_batch + d · depth_stride + j · column_stride];
// one of the strides is 1.
template <class X>
struct Down {
  const X* x;
  AnyFloats right;
  float* out;
  int64_t batches, rows, depth, r, depth_stride, column_stride, right_batch;
  int64_t tiles, length;
  bool x_aligned, right_aligned;
  Drop drop;
};

// Adds up the warps' sums: store(i, j, sum) for each element of the block's 64 × kWidth.
template <class Core, class Store>
__device__ inline void add_slices(const Core& core, const Store& store) {
  constexpr int kSize = kNarrowTile * Core::kWidth;
  __syncthreads();
  core.put_sums();
  __syncthreads();
  for (int at = threadIdx.x; at < kSize; at += kNarrowThreads) {
    float total = 0;
#pragma unroll
    for (int slice = 0; slice < Core::kSlices; slice++) total += core.memory[slice * kSize + at];
    store(at / Core::kWidth, at % Core::kWidth, total);
  }
}

template <class X, int kGroups, bool kRightAlongK>
__global__ void __launch_bounds__(kNarrowThreads, NarrowCore<X, kGroups, true, kRightAlongK>::kBlocks)
    down_kernel(const Down<X> of) {
  constexpr int kWidth = kGroups * kNarrowGroup;
  MW_SHARED(float, memory);
  const int own_row = threadIdx.x / 16, own_k = threadIdx.x % 16 * 4;  // what this thread brings: rows own_row + 16 p
  const int64_t batch = blockIdx.x / of.tiles, row = blockIdx.x % of.tiles * kNarrowTile;
  const int64_t first = int64_t(blockIdx.z) * kWidth;
  const int64_t begin = blockIdx.y * of.length, end = min(of.depth, begin + of.length);
  const int64_t x_row = batch * of.rows + row;
  const int rows = int(at_most(kNarrowTile, of.rows - row)), columns = int(at_most(kWidth, of.r - first));
  const X* const x = of.x + (x_row + own_row) * of.depth + own_k;
  const int64_t right_stride = kRightAlongK ? of.column_stride : of.depth_stride;  // the other one is 1
  const int64_t right_first = batch * of.right_batch + (kRightAlongK ? first * right_stride : first);

  NarrowCore<X, kGroups, true, kRightAlongK> core{memory};
  decltype(fetch_four(x, 0, true)) ahead[4];
  RightPieces<kGroups, kRightAlongK> right;
  const auto fetch = [&](int64_t k) {
    const int depth = int(at_most(kNarrowTile, end - k));
#pragma unroll
    for (int p = 0; p < 4; p++) {
      ahead[p] = fetch_four(x + k + 16 * p * of.depth, own_row + 16 * p < rows ? depth - own_k : 0, of.x_aligned);
    }
    right.fetch(of.right, right_first + (kRightAlongK ? k : k * right_stride), right_stride, depth, columns, of.right_aligned);
  };
  if (begin < end) fetch(begin);
  for (int64_t k = begin; k < end; k += kNarrowTile) {
    __syncthreads();
    right.put(core);
#pragma unroll
    for (int p = 0; p < 4; p++) {
      const int i = own_row + 16 * p;
      float v[4];
      widen_four(ahead[p], v);
      if (of.drop.limit > 0) of.drop.keep((x_row + i) * of.depth + k + own_k, v);
      core.put_left(i, own_k, v);
    }
    __syncthreads();
    if (k + kNarrowTile < end) fetch(k + kNarrowTile);
    core.multiply();
  }
  float* const out = of.out + (blockIdx.y * of.batches * of.rows + x_row) * of.r;
  add_slices(core, [&](int i, int j, float sum) {
    if (i < rows && j < columns) out[i * of.r + first + j] = of.drop.scale * sum;
  });
}

template <class Y>
__global__ void add_parts_kernel(const float* parts, int64_t count, int64_t size, Y* y, bool accumulate) {
  grid_stride(size, [&](int64_t i) {
    float total = 0;
#pragma unroll 4
    for (int64_t part = 0; part < count; part++) total += parts[part * size + i];
    store_float(y + i, accumulate ? total + load_float(y + i) : total);
  });
}

inline void add_parts(Exec& exec, const float* parts, int64_t count, int64_t size, float* y, bool accumulate) {
  launch(exec, add_parts_kernel<float>, blocks_for(exec, size, 256), 256, 0, parts, count, size, y, accumulate);
}

// out [batches, rows, r] f32, complete. `slot`: scratch for parts.
template <class X>
void narrow_down(Exec& exec, Down<X> of, int slot) {
  if (of.batches * of.rows * of.r == 0) return;
  const int64_t size = of.batches * of.rows * of.r;
  of.tiles = pieces(of.rows, kNarrowTile);
  of.x_aligned = by_fours(of.x, sizeof(X), of.depth);
  const bool along = of.depth_stride == 1;
  of.right_aligned = by_fours(of.right.memory, of.right.half ? 2 : 4, along ? of.column_stride : of.depth_stride) &&
                     of.right_batch % 4 == 0;
  const Parts parts(of.depth, of.batches * of.tiles);
  of.length = parts.length;
  float* const out = of.out;
  if (parts.count > 1) of.out = exec.scratch<float>(parts.count * size, slot);
  with_groups(of.r, [&](auto groups) {
    constexpr int kGroups = decltype(groups)::value;
    const dim3 grid(unsigned(of.batches * of.tiles), unsigned(parts.count), unsigned(pieces(of.r, kGroups * kNarrowGroup)));
    if (along) {
      launch(exec, down_kernel<X, kGroups, true>, grid, kNarrowThreads, NarrowCore<X, kGroups, true, true>::kSharedBytes, of);
    } else {
      launch(exec, down_kernel<X, kGroups, false>, grid, kNarrowThreads, NarrowCore<X, kGroups, true, false>::kSharedBytes, of);
    }
  });
  if (parts.count > 1) add_parts(exec, of.out, parts.count, size, out, false);
}

// out [parts, …]: element (column, j) of a part, times `scale`, is out[column · out_column + j · out_narrow]. No out: no
// product.
template <class X>
struct Across {
  const X* x;
  const float* narrow;
  float* out;
  int64_t rows, cols, r, out_column, out_narrow;
  float scale = 1;
  int64_t length = 0;
  bool aligned = false, narrow_aligned = false;
};

// `visit` sees each element of x once, four neighbours of a row at a time, and may make it 0 in the product:
//   Visit::kBlocks                           so many blocks on a multiprocessor its registers leave room for
//   visit.begin(column, count)               before: this thread's columns are `column` and the following, `count` of them
//   visit.ahead(p, row, inside)              what it needs to read for piece p (of 4) of the next tile
//   visit.see(p, row, inside, v)             row is in [0, rows) when inside
//   visit.end(part, memory)                  after; shared memory of 16 · 64 floats is free
template <class X, int kGroups, class Visit>
__global__ void __launch_bounds__(kNarrowThreads, std::min(Visit::kBlocks, NarrowCore<X, kGroups, false, false>::kBlocks))
    across_kernel(const Across<X> of, Visit visit) {
  constexpr int kWidth = kGroups * kNarrowGroup;
  MW_SHARED(float, memory);
  const int own_row = threadIdx.x / 16, own_col = threadIdx.x % 16 * 4;
  const int64_t col = int64_t(blockIdx.x) * kNarrowTile, first = int64_t(blockIdx.z) * kWidth;
  const int64_t begin = blockIdx.y * of.length, end = min(of.rows, begin + of.length);
  const int cols = int(at_most(kNarrowTile, of.cols - col)), columns = int(at_most(kWidth, of.r - first));
  const int count = min(cols - own_col, 4);
  const X* const x = of.x + own_row * of.cols + col + own_col;

  NarrowCore<X, kGroups, false, false> core{memory};
  decltype(fetch_four(x, 0, true)) ahead[4];
  RightPieces<kGroups, false> right;
  const auto fetch = [&](int64_t t) {
    const int depth = int(at_most(kNarrowTile, end - t));
    if (of.out) right.fetch(AnyFloats(of.narrow), t * of.r + first, of.r, depth, columns, of.narrow_aligned);
#pragma unroll
    for (int p = 0; p < 4; p++) {
      const bool inside = t + own_row + 16 * p < end;
      ahead[p] = fetch_four(x + (t + 16 * p) * of.cols, inside ? count : 0, of.aligned);
      visit.ahead(p, t + own_row + 16 * p, inside);
    }
  };
  visit.begin(col + own_col, count);
  if (begin < end) fetch(begin);
  for (int64_t t = begin; t < end; t += kNarrowTile) {
    __syncthreads();
    if (of.out) right.put(core);
#pragma unroll
    for (int p = 0; p < 4; p++) {
      const int i = own_row + 16 * p;
      float v[4];
      widen_four(ahead[p], v);
      visit.see(p, t + i, t + i < end, v);
      core.put_left(i, own_col, v);
    }
    __syncthreads();
    if (t + kNarrowTile < end) fetch(t + kNarrowTile);
    if (of.out) core.multiply();
  }
  if (of.out) {
    float* const out = of.out + blockIdx.y * of.cols * of.r;
    add_slices(core, [&](int i, int j, float sum) {
      if (i < cols && j < columns) out[(col + i) * of.out_column + (first + j) * of.out_narrow] = of.scale * sum;
    });
  }
  __syncthreads();
  visit.end(int64_t(blockIdx.y), memory);
}

// The parts that the rows are cut into.
inline Parts across_parts(int64_t rows, int64_t cols) { return Parts(rows, pieces(cols, kNarrowTile)); }

template <class X, class Visit>
void narrow_across(Exec& exec, Across<X> of, const Visit& visit) {
  const Parts parts = across_parts(of.rows, of.cols);
  of.length = parts.length;
  of.aligned = by_fours(of.x, sizeof(X), of.cols);
  of.narrow_aligned = by_fours(of.narrow, sizeof(float), of.r);
  with_groups(of.out ? of.r : 0, [&](auto groups) {
    constexpr int kGroups = decltype(groups)::value;
    const int64_t chunks = of.out ? pieces(of.r, kGroups * kNarrowGroup) : 1;
    const dim3 grid(unsigned(pieces(of.cols, kNarrowTile)), unsigned(parts.count), unsigned(chunks));
    constexpr int64_t kSharedBytes = NarrowCore<X, kGroups, false, false>::kSharedBytes;
    launch(exec, across_kernel<X, kGroups, Visit>, grid, kNarrowThreads, kSharedBytes, of, visit);
  });
}

}  // namespace mixwright::cuda
