// Products with a narrow side of r columns, any r: what low-rank adapters add to a layer. Two shapes, with sums in f32:
//   narrow_down:    out [rows, r] = x [rows, depth] · right [depth, r]     the sum goes along x's rows
//   narrow_across:  out [cols, r] = xᵀ [cols, rows] · narrow [rows, r]     the sum goes down x's columns
// x, the wide side, is read once up to r = 64, and once more for each further 64 columns.
//
// A block has a tile of 64 × 64 of x in shared memory at a time, and the next one on its way in registers. Its 8 warps share
// out the tile's depth, and with r > 16 also the narrow columns, 16 to a warp; a lane holds 8 × 4 sums. When the block is
// through, the warps' sums are added in order. Where rows (or columns) alone are too few blocks, the depth is cut into parts
// by the shape, and the parts' sums are added in order by who asked.
#pragma once
#include <type_traits>

#include "cuda/drop.h"
#include "cuda/fours.h"

namespace mixwright::cuda {

constexpr int kNarrowThreads = 256, kNarrowTile = 64, kNarrowStride = kNarrowTile + 4, kNarrowGroup = 16;
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

inline int64_t narrow_shared_bytes(int groups) {
  const int64_t tiles = int64_t(kNarrowTile + groups * kNarrowGroup) * kNarrowStride;
  const int64_t sums = int64_t(kNarrowThreads) * 32;
  return int64_t(sizeof(float)) * (tiles > sums ? tiles : sums);
}

// out [parts, batch, rows, r]: element (d, j) of right is right[batch · right_batch + d · depth_stride + j · column_stride].
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

// A right side's tile, [column][depth].
template <int kWidth, class X>
__device__ inline void load_right(const Down<X>& of, int64_t batch, int64_t k, int64_t end, int64_t first, float* tile) {
  const int64_t base = batch * of.right_batch;
  if (of.depth_stride != 1) {
#pragma unroll 4
    for (int i = threadIdx.x; i < kWidth * kNarrowTile; i += kNarrowThreads) {
      const int j = i % kWidth, d = i / kWidth;
      const bool inside = first + j < of.r && k + d < end;
      const int64_t at = base + (k + d) * of.depth_stride + (first + j) * of.column_stride;
      tile[j * kNarrowStride + d] = inside ? of.right.at(at) : 0.0f;
    }
    return;
  }
#pragma unroll 1
  for (int i = threadIdx.x; i < kWidth * kNarrowTile / 4; i += kNarrowThreads) {
    const int j = i / (kNarrowTile / 4), d = i % (kNarrowTile / 4) * 4;
    const int64_t at = base + (first + j) * of.column_stride + k + d, count = first + j < of.r ? end - k - d : 0;
    float v[4];
    if (of.right.half) {
      widen_four(load_four(static_cast<const bf16*>(of.right.memory) + at, count, of.right_aligned), v);
    } else {
      widen_four(load_four(static_cast<const float*>(of.right.memory) + at, count, of.right_aligned), v);
    }
    *reinterpret_cast<float4*>(tile + j * kNarrowStride + d) = make_float4(v[0], v[1], v[2], v[3]);
  }
}

// Adds up the warps' sums: store(i, j, sum) for each element of the block's 64 × kWidth. index(i, j) of a lane's own sums.
template <int kGroups, class Index, class Store>
__device__ inline void add_warps(const float (&sums)[8][4], float* memory, const Index& index, const Store& store) {
  constexpr int kWidth = kGroups * kNarrowGroup, kSlices = 8 / kGroups, kSize = kNarrowTile * kWidth;
  const int slice = int(threadIdx.x) / kWarp / kGroups;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 8; i++) {
#pragma unroll
    for (int j = 0; j < 4; j++) memory[slice * kSize + index(i, j)] = sums[i][j];
  }
  __syncthreads();
  for (int at = threadIdx.x; at < kSize; at += kNarrowThreads) {
    float total = 0;
#pragma unroll
    for (int s = 0; s < kSlices; s++) total += memory[s * kSize + at];
    store(at / kWidth, at % kWidth, total);
  }
}

template <class X, int kGroups>
__global__ void __launch_bounds__(kNarrowThreads, 2) down_kernel(const Down<X> of) {
  constexpr int kWidth = kGroups * kNarrowGroup, kSlice = kNarrowTile * kGroups / 8;
  MW_SHARED(float, memory);
  float* const left = memory;                                       // [row][depth]
  float* const right = memory + kNarrowTile * kNarrowStride;        // [column][depth]
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int own_row = threadIdx.x / 16, own_k = threadIdx.x % 16 * 4;  // what this thread brings: rows own_row + 16 p
  const int64_t batch = blockIdx.x / of.tiles, row = blockIdx.x % of.tiles * kNarrowTile, first = int64_t(blockIdx.z) * kWidth;
  const int64_t begin = blockIdx.y * of.length, end = min(of.depth, begin + of.length);
  const int64_t x_row = batch * of.rows + row, rows = of.rows - row;
  const X* const x = of.x + x_row * of.depth;

  Four<X> ahead[4];
  const auto fetch = [&](int64_t k) {
#pragma unroll
    for (int p = 0; p < 4; p++) {
      const int i = own_row + 16 * p;
      ahead[p] = load_four(x + i * of.depth + k + own_k, i < rows ? end - k - own_k : 0, of.x_aligned);
    }
  };
  float sums[8][4] = {};
  if (begin < end) fetch(begin);
  for (int64_t k = begin; k < end; k += kNarrowTile) {
    __syncthreads();
#pragma unroll
    for (int p = 0; p < 4; p++) {
      const int i = own_row + 16 * p;
      float v[4];
      widen_four(ahead[p], v);
      if (of.drop.limit > 0) of.drop.apply((x_row + i) * of.depth + k + own_k, v);
      *reinterpret_cast<float4*>(left + i * kNarrowStride + own_k) = make_float4(v[0], v[1], v[2], v[3]);
    }
    load_right<kWidth>(of, batch, k, end, first, right);
    __syncthreads();
    if (k + kNarrowTile < end) fetch(k + kNarrowTile);
    const float* const own_left = left + lane / 4 * kNarrowStride + warp / kGroups * kSlice;
    const float* const own_right = right + (warp % kGroups * kNarrowGroup + lane % 4) * kNarrowStride + warp / kGroups * kSlice;
#pragma unroll 1
    for (int d = 0; d < kSlice; d += 4) {
      float4 b[4];
#pragma unroll
      for (int j = 0; j < 4; j++) b[j] = *reinterpret_cast<const float4*>(own_right + 4 * j * kNarrowStride + d);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const float4 a = *reinterpret_cast<const float4*>(own_left + 8 * i * kNarrowStride + d);
#pragma unroll
        for (int j = 0; j < 4; j++) {
          sums[i][j] += a.x * b[j].x;
          sums[i][j] += a.y * b[j].y;
          sums[i][j] += a.z * b[j].z;
          sums[i][j] += a.w * b[j].w;
        }
      }
    }
  }
  float* const out = of.out + (blockIdx.y * of.batches * of.rows + x_row) * of.r;
  add_warps<kGroups>(
      sums, memory,
      [&](int i, int j) { return (lane / 4 + 8 * i) * kWidth + warp % kGroups * kNarrowGroup + lane % 4 + 4 * j; },
      [&](int i, int j, float sum) {
        if (i < rows && first + j < of.r) out[i * of.r + first + j] = sum;
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
  of.right_aligned = by_fours(of.right.memory, of.right.half ? 2 : 4, of.column_stride) && of.right_batch % 4 == 0;
  const Parts parts(of.depth, of.batches * of.tiles);
  of.length = parts.length;
  float* const out = of.out;
  if (parts.count > 1) of.out = exec.scratch<float>(parts.count * size, slot);
  with_groups(of.r, [&](auto groups) {
    constexpr int kGroups = decltype(groups)::value;
    const dim3 grid(unsigned(of.batches * of.tiles), unsigned(parts.count), unsigned(pieces(of.r, kGroups * kNarrowGroup)));
    launch(exec, down_kernel<X, kGroups>, grid, kNarrowThreads, narrow_shared_bytes(kGroups), of);
  });
  if (parts.count > 1) add_parts(exec, of.out, parts.count, size, out, false);
}

// out [parts, …]: element (column, j) of a part is out[column · out_column + j · out_narrow]. No out: no product.
template <class X>
struct Across {
  const X* x;
  const float* narrow;
  float* out;
  int64_t rows, cols, r, out_column, out_narrow;
  int64_t length;
  bool aligned;
};

// `visit` sees each element of x once, four neighbours of a row at a time, and may change what is multiplied:
//   visit.begin(column, count)               before: this thread's columns are `column` and the following, `count` of them
//   visit.ahead(p, row, inside)              what it needs to read for piece p (of 4) of the next tile
//   visit.see(p, row, inside, v)             row is in [0, rows) when inside
//   visit.end(part, memory)                  after; shared memory of 16 · 64 floats is free
template <class X, int kGroups, class Visit>
__global__ void __launch_bounds__(kNarrowThreads, 2) across_kernel(const Across<X> of, Visit visit) {
  constexpr int kWidth = kGroups * kNarrowGroup, kSlice = kNarrowTile * kGroups / 8;
  MW_SHARED(float, memory);
  float* const left = memory;                                 // [row][column]
  float* const right = memory + kNarrowTile * kNarrowStride;  // [row][narrow column]
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int own_row = threadIdx.x / 16, own_col = threadIdx.x % 16 * 4;
  const int64_t col = int64_t(blockIdx.x) * kNarrowTile, first = int64_t(blockIdx.z) * kWidth;
  const int64_t begin = blockIdx.y * of.length, end = min(of.rows, begin + of.length);
  const int count = int(min(of.cols - col - own_col, int64_t(4)));
  const X* const x = of.x + col + own_col;

  Four<X> ahead[4];
  const auto fetch = [&](int64_t t) {
#pragma unroll
    for (int p = 0; p < 4; p++) {
      const int64_t i = t + own_row + 16 * p;
      ahead[p] = load_four(x + i * of.cols, i < end ? count : 0, of.aligned);
      visit.ahead(p, i, i < end);
    }
  };
  visit.begin(col + own_col, count);
  float sums[8][4] = {};
  if (begin < end) fetch(begin);
  for (int64_t t = begin; t < end; t += kNarrowTile) {
    __syncthreads();
#pragma unroll
    for (int p = 0; p < 4; p++) {
      const int i = own_row + 16 * p;
      float v[4];
      widen_four(ahead[p], v);
      visit.see(p, t + i, t + i < end, v);
      *reinterpret_cast<float4*>(left + i * kNarrowStride + own_col) = make_float4(v[0], v[1], v[2], v[3]);
    }
    if (of.out) {
#pragma unroll 4
      for (int i = threadIdx.x; i < kWidth * kNarrowTile; i += kNarrowThreads) {
        const int j = i % kWidth, d = i / kWidth;
        right[i] = t + d < end && first + j < of.r ? of.narrow[(t + d) * of.r + first + j] : 0.0f;
      }
    }
    __syncthreads();
    if (t + kNarrowTile < end) fetch(t + kNarrowTile);
    if (!of.out) continue;
    const float* const own_left = left + warp / kGroups * kSlice * kNarrowStride + lane / 4 * 4;
    const float* const own_right = right + warp / kGroups * kSlice * kWidth + warp % kGroups * kNarrowGroup + lane % 4 * 4;
#pragma unroll 2
    for (int d = 0; d < kSlice; d++) {
      const float4 b = *reinterpret_cast<const float4*>(own_right + d * kWidth);
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const float4 a = *reinterpret_cast<const float4*>(own_left + d * kNarrowStride + 32 * half);
        const float as[4] = {a.x, a.y, a.z, a.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
          sums[4 * half + i][0] += as[i] * b.x;
          sums[4 * half + i][1] += as[i] * b.y;
          sums[4 * half + i][2] += as[i] * b.z;
          sums[4 * half + i][3] += as[i] * b.w;
        }
      }
    }
  }
  if (of.out) {
    float* const out = of.out + blockIdx.y * of.cols * of.r;
    add_warps<kGroups>(
        sums, memory,
        [&](int i, int j) {
          return (i / 4 * 32 + lane / 4 * 4 + i % 4) * kWidth + warp % kGroups * kNarrowGroup + lane % 4 * 4 + j;
        },
        [&](int i, int j, float sum) {
          if (col + i < of.cols && first + j < of.r) out[(col + i) * of.out_column + (first + j) * of.out_narrow] = sum;
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
  with_groups(of.out ? of.r : 0, [&](auto groups) {
    constexpr int kGroups = decltype(groups)::value;
    const int64_t chunks = of.out ? pieces(of.r, kGroups * kNarrowGroup) : 1;
    const dim3 grid(unsigned(pieces(of.cols, kNarrowTile)), unsigned(parts.count), unsigned(chunks));
    launch(exec, across_kernel<X, kGroups, Visit>, grid, kNarrowThreads, narrow_shared_bytes(kGroups), of, visit);
  });
}

}  // namespace mixwright::cuda
