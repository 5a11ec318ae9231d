// The matrix core: C = A · B, a block to a tile of C, for dense products and for one product an expert. Two bf16 operands go to
// the tensor cores (gemm_tensor.h), all else is multiplied in f32 (gemm_lanes.h). Both leave a tile's sums in shared memory, in
// f32. Then all threads of the block call `finish`:
//   finish(group, i, j, rows, cols, const float* sums, ld)    C[i … i+rows, j … j+cols] of the group is sums[r · ld + c]
// Who needs a product in another form (scaled, rounded, as part of a softmax) brings a `finish`; see Store. It must not care
// how C is cut into tiles, and gets every element once.
//   Who computes what is said by `tasks`: tasks(index of the block, tile rows, tile cols, Task&), false: nothing to do.
// Small products with a long k are cut along k too, by their shape alone; the pieces are added up in order (combine_kernel).
#pragma once
#include <type_traits>

#include "cuda/fours.h"
#include "cuda/gemm_lanes.h"
#include "cuda/gemm_tensor.h"

namespace mixwright::cuda {

template <class Core, class Tasks, class Finish>
__global__ __launch_bounds__(Core::kThreads, Core::kBlocks) void product_kernel(Side a, Side b, Tasks tasks, Finish finish) {
  MW_SHARED(float, shared);
  __shared__ Task task;  // not in registers, which the products need
  __shared__ bool found;
  if (threadIdx.x == 0) found = tasks(int64_t(blockIdx.x), Core::kRows, Core::kCols, task);
  __syncthreads();
  if (!found) return;
  Core::multiply(a, b, task, shared);
  finish(task.group, task.row, task.col, int(task.rows), int(task.cols), static_cast<const float*>(shared), Core::kLd);
}

// The plain finish: C = alpha · sums (+ bias) (+ C), in f32 or bf16.
struct Store {
  void* memory;
  bool wide;             // f32, or bf16
  int64_t stride;        // of a row of C
  int64_t group_stride;  // from one group's C to the next
  float alpha = 1;
  bool accumulate = false;
  const void* bias = nullptr;
  bool wide_bias = false, vectors = false;

  // vectors: four columns lie on a boundary of four.
  static Store to(const View& c, int64_t stride, int64_t group_stride, float alpha, bool accumulate, const View& bias = {}) {
    const bool vectors = uintptr_t(c.memory) % size_t(4 * bytes_of(c.dtype)) == 0 && stride % 4 == 0 && group_stride % 4 == 0;
    return {c.memory,   c.dtype == DType::f32, stride,  group_stride, alpha, accumulate,
            bias.memory, bias.dtype == DType::f32, vectors};
  }

  __device__ float value(float sum, int64_t column) const {
    const float y = alpha * sum;
    if (!bias) return y;
    return y + (wide_bias ? static_cast<const float*>(bias)[column] : widen(static_cast<const bf16*>(bias)[column]));
  }

  template <class T>
  __device__ void store(T* c, int64_t j, int rows, int cols, const float* sums, int ld) const {
    const int threads = int(blockDim.x), thread = int(threadIdx.x);
    if (!vectors || cols % 4 != 0) {
      for (int i = thread; i < rows * cols; i += threads) {
        T* const at = c + int64_t(i / cols) * stride + i % cols;
        const float y = value(sums[i / cols * ld + i % cols], j + i % cols);
        store_float(at, accumulate ? y + load_float(at) : y);
      }
      return;
    }
    constexpr int kTogether = 4;  // read, then written
    const int count = rows * (cols / 4);
    for (int begin = thread; begin < count; begin += kTogether * threads) {
      Four<T> out[kTogether];
      int row[kTogether], col[kTogether];
#pragma unroll
      for (int t = 0; t < kTogether; t++) {
        const int i = begin + t * threads;
        row[t] = i / (cols / 4), col[t] = i % (cols / 4) * 4;
        if (accumulate && i < count) out[t] = *reinterpret_cast<const Four<T>*>(c + row[t] * stride + col[t]);
      }
#pragma unroll
      for (int t = 0; t < kTogether; t++) {
        if (begin + t * threads >= count) break;
        const float4 four = *reinterpret_cast<const float4*>(sums + row[t] * ld + col[t]);
        const float own[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
        for (int n = 0; n < 4; n++) {
          const float y = value(own[n], j + col[t] + n);
          narrow(accumulate ? y + widen(out[t].v[n]) : y, out[t].v[n]);
        }
        *reinterpret_cast<Four<T>*>(c + row[t] * stride + col[t]) = out[t];
      }
    }
  }

  __device__ void operator()(int64_t group, int64_t i, int64_t j, int rows, int cols, const float* sums, int ld) const {
    const int64_t at = group * group_stride + i * stride + j;
    if (wide) {
      store(static_cast<float*>(memory) + at, j, rows, cols, sums, ld);
    } else {
      store(static_cast<bf16*>(memory) + at, j, rows, cols, sums, ld);
    }
  }
};

// Calls body(rows, cols) with a tile size for C of M rows (on average, if there are `groups`) and N columns: flat or narrow
// where C is, small where large ones would leave multiprocessors without work.
template <class Body>
void with_tile(int64_t M, int64_t N, int64_t groups, Body&& body) {
  constexpr int64_t kEnough = 96;
  if (M <= 16) return body(std::integral_constant<int, 16>{}, std::integral_constant<int, 128>{});
  if (N <= 16) return body(std::integral_constant<int, 128>{}, std::integral_constant<int, 16>{});
  if (M > 64 && groups * pieces(M, 128) * pieces(N, 128) >= kEnough) {
    return body(std::integral_constant<int, 128>{}, std::integral_constant<int, 128>{});
  }
  return body(std::integral_constant<int, 64>{}, std::integral_constant<int, 64>{});
}

template <int kRows, int kCols>
struct TileOf {  // the smaller sides are one warp's, or two
  static constexpr int kWarpRows = kRows == 128 ? (kCols == 16 ? 32 : 64) : kRows == 64 ? 32 : 16;
  static constexpr int kWarpCols = kCols == 128 ? (kRows == 16 ? 32 : 64) : kCols == 64 ? 32 : 16;
  template <bool kLeftAlongK, bool kRightAlongK>
  using Tensor = TensorCore<kRows, kCols, kWarpRows, kWarpCols, kLeftAlongK, kRightAlongK>;
  using Lanes = LaneCore<kRows, kCols, kRows * kCols == 128 * 128 ? 8 : 4, kRows * kCols >= 64 * 64 ? 8 : 4>;
};

template <class Core, class Tasks, class Finish>
void launch_product(Exec& exec, const Side& a, const Side& b, int64_t blocks, const Tasks& tasks, const Finish& finish) {
  if (blocks > INT32_MAX) fail("%lld tiles are more than a launch takes", (long long)blocks);
  launch(exec, product_kernel<Core, Tasks, Finish>, dim3(unsigned(blocks)), Core::kThreads, Core::kSharedBytes,
         a.aligned(Core::kUnit), b.aligned(Core::kUnit), tasks, finish);
}

// The core for these sides. kLayouts: bit 2 · a.along_k + b.along_k is set where that may be.
template <int kRows, int kCols, int kLayouts, class Tasks, class Finish>
void multiply_tiles(Exec& exec, const Side& a, const Side& b, int64_t blocks, const Tasks& tasks, const Finish& finish) {
  using Tile = TileOf<kRows, kCols>;
  if (a.wide || b.wide) return launch_product<typename Tile::Lanes>(exec, a, b, blocks, tasks, finish);
  const int layout = 2 * a.along_k + b.along_k;
  if constexpr ((kLayouts & 1) != 0) {
    if (layout == 0) return launch_product<typename Tile::template Tensor<false, false>>(exec, a, b, blocks, tasks, finish);
  }
  if constexpr ((kLayouts & 2) != 0) {
    if (layout == 1) return launch_product<typename Tile::template Tensor<false, true>>(exec, a, b, blocks, tasks, finish);
  }
  if constexpr ((kLayouts & 4) != 0) {
    if (layout == 2) return launch_product<typename Tile::template Tensor<true, false>>(exec, a, b, blocks, tasks, finish);
  }
  if constexpr ((kLayouts & 8) != 0) {
    if (layout == 3) return launch_product<typename Tile::template Tensor<true, true>>(exec, a, b, blocks, tasks, finish);
  }
}

// One product, cut along k into pieces of `depth`; group: the piece.
struct DenseTasks {
  int64_t M, N, K, depth, row_tiles, col_tiles;

  __device__ bool operator()(int64_t index, int rows, int cols, Task& task) const {
    const int64_t piece = index / (row_tiles * col_tiles), k = piece * depth;
    const TilePlace place = tile_place(index - piece * row_tiles * col_tiles, row_tiles, col_tiles);
    const int64_t i = place.row * rows, j = place.col * cols;
    task = {piece, i, at_most(rows, M - i), j, at_most(cols, N - j), 0, 0, k, k + at_most(depth, K - k)};
    return true;
  }
};

constexpr int kCombineRows = 16, kCombineCols = 64, kCombineThreads = 256;
template <class Finish>
__global__ __launch_bounds__(kCombineThreads) void combine_kernel(const float* partial, int64_t count, int64_t M, int64_t N,
                                                                  int64_t stride, Finish finish) {
  constexpr int kLd = kCombineCols + kSumsPad;
  alignas(16) __shared__ float sums[kCombineRows * kLd];
  const int64_t col_tiles = tiles_of(N, kCombineCols);
  const int64_t i = int64_t(blockIdx.x) / col_tiles * kCombineRows, j = int64_t(blockIdx.x) % col_tiles * kCombineCols;
  const int rows = int(at_most(kCombineRows, M - i)), cols = int(at_most(kCombineCols, N - j));
  for (int at = int(threadIdx.x); at < kCombineRows * kCombineCols; at += kCombineThreads) {
    const int row = at / kCombineCols, col = at % kCombineCols;
    if (row >= rows || col >= cols) continue;
    const float* const own = partial + (i + row) * stride + j + col;
    float sum = 0;
#pragma unroll 4
    for (int64_t piece = 0; piece < count; piece++) sum += own[piece * M * stride];
    sums[row * kLd + col] = sum;
  }
  __syncthreads();
  finish(int64_t(0), i, j, rows, cols, static_cast<const float*>(sums), kLd);
}

// C = A · B, M × K times K × N. Takes scratch `slot`.
template <class Finish>
void gemm(Exec& exec, const Side& a, const Side& b, int64_t M, int64_t N, int64_t K, const Finish& finish, int slot = 0) {
  constexpr int64_t kFill = 128, kLeastDepth = 256;  // tiles that fill a device; what a piece of k must be worth
  if (M == 0 || N == 0) return;
  with_tile(M, N, 1, [&](auto rows, auto cols) {
    constexpr int kRows = decltype(rows)::value, kCols = decltype(cols)::value, kAllLayouts = 15;
    DenseTasks tasks{M, N, K, K, pieces(M, kRows), pieces(N, kCols)};
    const int64_t tiles = tasks.row_tiles * tasks.col_tiles;
    int64_t count = tiles >= kFill ? 1 : std::min(2 * kFill / tiles, K / kLeastDepth);
    if (count < 2) return multiply_tiles<kRows, kCols, kAllLayouts>(exec, a, b, tiles, tasks, finish);
    tasks.depth = pieces(pieces(K, count), 32) * 32;
    count = pieces(K, tasks.depth);
    const int64_t stride = pieces(N, 4) * 4;
    View partial;
    partial.memory = exec.scratch<float>(count * M * stride, slot);
    const Store pieces_of_c = Store::to(partial, stride, M * stride, 1, false);
    multiply_tiles<kRows, kCols, kAllLayouts>(exec, a, b, tiles * count, tasks, pieces_of_c);
    launch(exec, combine_kernel<Finish>, dim3(unsigned(pieces(M, kCombineRows) * pieces(N, kCombineCols))), kCombineThreads, 0,
           static_cast<const float*>(partial.memory), count, M, N, stride, finish);
  });
}

}  // namespace mixwright::cuda
