// The matrix core: C = A · B, a block to a tile of C, for dense products and for one product an expert.
//   Two bf16 operands go to the tensor cores (TensorCore): copies into shared memory run kStages - 1 steps of k ahead of the
// products, 16 bytes at a time, and lie there swizzled, so that neither they nor ldmatrix meet bank conflicts (Kerr et al. 2017,
// CUTLASS). All else is multiplied in f32 on the ordinary ones (LaneCore), the next step waiting in registers.
//   Both leave a tile's sums in shared memory, in f32. Then all threads of the block call `finish`:
//   finish(group, i, j, rows, cols, const float* sums, ld)    C[i … i+rows, j … j+cols] of the group is sums[r · ld + c]
// Who needs a product in another form (scaled, rounded, as part of a softmax) brings a `finish`; see Store. It must not care how
// C is cut into tiles, and gets every tile once, so results have equal bits from run to run.
//   Who computes what is said by `tasks`: tasks(index of the block, tile rows, tile cols, Task&), false: nothing to do.
// Small products with a long k are cut along k too, by their shape alone; the pieces are added up in order (gemm, combine_kernel).
#pragma once
#include <algorithm>

#include "cuda/launch.h"
#include "cuda/ptx.h"
#include "cuda/tiles.h"

namespace mixwright::cuda {

constexpr int kSumsPad = 8;  // floats between rows of sums: registers are put there without bank conflicts

// One side of a product. Its rows in memory run along k, or (along_k false) along C's rows or columns.
struct Side {
  const void* memory;
  bool wide;       // f32, or bf16
  int64_t stride;  // elements from one row in memory to the next
  bool along_k;
  const int32_t* rows = nullptr;  // which row in memory is the i-th; absent: the i-th. What isn't below `table` reads as zeros
  int64_t table = 0;
  bool vectors = false;  // pieces are aligned: see aligned()

  // The same, with `vectors` for pieces of `unit` elements.
  Side aligned(int unit) const {
    Side side = *this;
    const int64_t bytes = wide ? 4 : 2;
    side.vectors = (int64_t(uintptr_t(memory)) | stride * bytes) % (unit * bytes) == 0;
    return side;
  }
};

inline Side side_of(const View& view, int64_t stride, bool along_k, const int32_t* rows = nullptr, int64_t table = 0) {
  return {view.memory, view.dtype == DType::f32, stride, along_k, rows, table};
}

struct Task {
  int64_t group = 0;             // for `finish`
  int64_t row, rows, col, cols;  // the tile of C
  int64_t a_first = 0, b_first = 0;  // where the group's rows begin in the memory of A and B
  int64_t k_begin = 0, k_end;    // k_begin is a multiple of 32
};

// The pieces of kUnit elements that one thread copies of a side, kSize × kDepth elements a step; step after step.
template <int kSize, int kDepth, int kUnit, int kThreads>
class Pieces {
 public:
  static constexpr int kAll = kSize * kDepth / kUnit, kOwn = (kAll + kThreads - 1) / kThreads;

  // x, count: the side's rows (columns) of C.
  __device__ Pieces(const Side& side, bool along_k, int64_t first, int64_t x, int64_t count, int64_t k, int64_t k_end)
      : side_(side), along_k_(along_k), first_(first), offset_(along_k ? 0 : x), k_(k), k_end_(k_end) {
    left_ = along_k ? k_left() : int(count);
    for (int u = 0; u < kOwn; u++) at_[u] = along_k ? start(x + row(u), row(u) < count, u) : start(k + row(u), row(u) < k_left(), u);
  }

  static __device__ int index(int u) { return u * kThreads + int(threadIdx.x); }
  static __device__ bool mine(int u) { return kAll % kThreads == 0 || index(u) < kAll; }
  // Row and piece of the row that piece u is in shared memory: of a row along k kDepth / kUnit, of the others kSize / kUnit.
  __device__ int row(int u) const { return along_k_ ? index(u) / (kDepth / kUnit) : index(u) / (kSize / kUnit); }
  __device__ int column(int u) const { return along_k_ ? index(u) % (kDepth / kUnit) : index(u) % (kSize / kUnit); }

  // Elements of piece u that there are, in [0, kUnit]; and where they begin.
  __device__ int valid(int u) const {
    const int left = left_ - column(u) * kUnit;
    return at_[u] < 0 || left < 0 ? 0 : left < kUnit ? left : kUnit;
  }
  __device__ int64_t begin(int u) const { return along_k_ ? at_[u] + k_ : at_[u]; }

  __device__ void advance() {
    k_ += kDepth;
    if (along_k_) {
      left_ = k_left();
    } else {
      for (int u = 0; u < kOwn; u++) at_[u] = start(k_ + row(u), row(u) < k_left(), u);
    }
  }

 private:
  __device__ int k_left() const { return k_end_ - k_ < kDepth ? int(k_end_ - k_) : kDepth; }

  // Where piece u begins, in row i of the side; -1: nowhere. Read one step before it is needed.
  __device__ int64_t start(int64_t i, bool exists, int u) const {
    if (!exists) return -1;
    i += first_;
    if (side_.rows) {
      i = side_.rows[i];
      if (i < 0 || i >= side_.table) return -1;
    }
    return i * side_.stride + offset_ + column(u) * kUnit;
  }

  const Side& side_;
  const bool along_k_;
  const int64_t first_, offset_;
  int64_t k_, k_end_;
  int left_;
  int64_t at_[kOwn];
};

// kRows × kCols of C by warps that have kWarpRows × kWarpCols each.
template <int kTileRows, int kTileCols, int kWarpRows, int kWarpCols, bool kLeftAlongK, bool kRightAlongK>
struct TensorCore {
  static constexpr int kRows = kTileRows, kCols = kTileCols, kDepth = 32, kStages = 4, kUnit = 8;
  static constexpr int kThreads = kWarp * (kRows / kWarpRows) * (kCols / kWarpCols), kLd = kCols + kSumsPad;
  static constexpr int kBlocks = kRows * kCols >= 128 * 128 ? 2 : 4;  // on a multiprocessor, at least
  static constexpr int kStage = (kRows + kCols) * kDepth;
  static constexpr int64_t kSharedBytes = std::max(kStages * kStage * 2, kRows * kLd * 4);

  // The element where piece `column` of a row lies in shared memory, of rows of kPieces pieces: 8 rows that follow each other
  // have the same column in 8 different groups of banks.
  template <int kPieces>
  static __device__ int place(int row, int column) {
    constexpr int kMask = kPieces < 8 ? kPieces - 1 : 7, kShare = kPieces < 8 ? 8 / kPieces : 1;
    return (row * kPieces + (column ^ (row / kShare & kMask))) * kUnit;
  }

  template <int kPieces, class P>
  static __device__ void fetch(P& pieces, const Side& side, bf16* stage) {
#pragma unroll
    for (int u = 0; u < P::kOwn; u++) {
      if (!P::mine(u)) continue;
      bf16* const to = stage + place<kPieces>(pieces.row(u), pieces.column(u));
      const int valid = pieces.valid(u);
      const uint16_t* const from = static_cast<const uint16_t*>(side.memory) + (valid ? pieces.begin(u) : 0);
      if (side.vectors) {
        copy_async(to, from, 2 * valid);
        continue;
      }
      uint32_t pairs[4];
#pragma unroll
      for (int p = 0; p < 4; p++) {
        pairs[p] = (2 * p < valid ? uint32_t(__ldg(from + 2 * p)) : 0) | (2 * p + 1 < valid ? uint32_t(__ldg(from + 2 * p + 1)) << 16 : 0);
      }
      *reinterpret_cast<uint4*>(to) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    }
    pieces.advance();
  }

  // Four 8 × 8 matrices: 16 rows (columns) of C from x on, 16 steps of k. `second` is 1 in lanes that address matrices 1 and 3,
  // `upper` in those of 2 and 3: A's second matrix lies beside the first in rows, B's in k, which the caller turns round.
  template <bool kAlongK, int kSize>
  static __device__ void fragments(uint32_t (&r)[4], const bf16* side, int x, int k, int x_half, int k_half) {
    const int own = int(threadIdx.x) % 8;
    if constexpr (kAlongK) {
      load_matrices<false>(r, side + place<kDepth / kUnit>(x + x_half * 8 + own, k / 8 + k_half));
    } else {
      load_matrices<true>(r, side + place<kSize / kUnit>(k + k_half * 8 + own, x / 8 + x_half));
    }
  }

  // Leaves the tile's sums in `shared`, rows of kLd; all threads may read them.
  static __device__ void multiply(const Side& a, const Side& b, const Task& task, void* shared) {
    constexpr int kMs = kWarpRows / 16, kNs = kWarpCols / 8;
    bf16* const stages = static_cast<bf16*>(shared);
    Pieces<kRows, kDepth, kUnit, kThreads> a_pieces(a, kLeftAlongK, task.a_first, task.row, task.rows, task.k_begin, task.k_end);
    Pieces<kCols, kDepth, kUnit, kThreads> b_pieces(b, kRightAlongK, task.b_first, task.col, task.cols, task.k_begin, task.k_end);
    const auto fetch_stage = [&](int stage) {
      bf16* const to = stages + stage * kStage;
      fetch<kLeftAlongK ? kDepth / kUnit : kRows / kUnit>(a_pieces, a, to);
      fetch<kRightAlongK ? kDepth / kUnit : kCols / kUnit>(b_pieces, b, to + kRows * kDepth);
    };
    const int steps = int(tiles_of(task.k_end - task.k_begin, kDepth));
    const int lane = int(threadIdx.x) % kWarp, warp = int(threadIdx.x) / kWarp;
    const int row = warp / (kCols / kWarpCols) * kWarpRows, col = warp % (kCols / kWarpCols) * kWarpCols;
    const int second = lane / 8 % 2, upper = lane / 16;

    float sums[kMs][kNs][4] = {};
    for (int stage = 0; stage < kStages - 1; stage++) {
      if (stage < steps) fetch_stage(stage);
      copy_commit();
    }
    for (int step = 0; step < steps; step++) {
      copy_wait<kStages - 2>();
      __syncthreads();  // and all have read the stage that is filled next
      if (step + kStages - 1 < steps) fetch_stage((step + kStages - 1) % kStages);
      copy_commit();
      const bf16 *const left = stages + step % kStages * kStage, *const right = left + kRows * kDepth;
#pragma unroll
      for (int k = 0; k < kDepth; k += 16) {
        uint32_t as[kMs][4], bs[kNs / 2][4];
#pragma unroll
        for (int m = 0; m < kMs; m++) fragments<kLeftAlongK, kRows>(as[m], left, row + m * 16, k, second, upper);
#pragma unroll
        for (int n = 0; n < kNs / 2; n++) fragments<kRightAlongK, kCols>(bs[n], right, col + n * 16, k, upper, second);
#pragma unroll
        for (int m = 0; m < kMs; m++) {
#pragma unroll
          for (int n = 0; n < kNs; n++) {
            const uint32_t pair[2] = {bs[n / 2][n % 2 * 2], bs[n / 2][n % 2 * 2 + 1]};
            mma_bf16(sums[m][n], as[m], pair);
          }
        }
      }
    }
    copy_wait<0>();
    __syncthreads();
    float* const out = static_cast<float*>(shared);
#pragma unroll
    for (int m = 0; m < kMs; m++) {
#pragma unroll
      for (int n = 0; n < kNs; n++) {
        float* const at = out + (row + m * 16 + lane / 4) * kLd + col + n * 8 + lane % 4 * 2;
        *reinterpret_cast<float2*>(at) = make_float2(sums[m][n][0], sums[m][n][1]);
        *reinterpret_cast<float2*>(at + 8 * kLd) = make_float2(sums[m][n][2], sums[m][n][3]);
      }
    }
    __syncthreads();
  }
};

// kRows × kCols of C by threads that have kOwnRows × kOwnCols each, in groups of 4 × 4; any mix of f32 and bf16, either way round.
template <int kTileRows, int kTileCols, int kOwnRows, int kOwnCols>
struct LaneCore {
  static constexpr int kRows = kTileRows, kCols = kTileCols, kUnit = 4;
  static constexpr int kThreads = (kRows / kOwnRows) * (kCols / kOwnCols), kLd = kCols + kSumsPad, kBlocks = kThreads > 128 ? 2 : 4;
  static constexpr int kDepth = kThreads > 128 ? 8 : 16;
  static constexpr int kPad = 4, kLeft = kDepth * (kRows + kPad), kStage = kLeft + kDepth * (kCols + kPad);
  static constexpr int64_t kSharedBytes = 4 * std::max(2 * kStage, kRows * kLd);
  // A warp is kLanesX lanes wide: its reads of either side lie together.
  static constexpr int kLanesX = kCols / kOwnCols < 8 ? kCols / kOwnCols : 8, kLanesY = kWarp / kLanesX;
  static constexpr int kWarpsX = kCols / kOwnCols / kLanesX;

  template <class P>
  static __device__ void fetch(P& pieces, const Side& side, float4 (&waiting)[P::kOwn]) {
#pragma unroll
    for (int u = 0; u < P::kOwn; u++) {
      float x[4] = {0, 0, 0, 0};
      const int valid = P::mine(u) ? pieces.valid(u) : 0;
      const int64_t at = valid ? pieces.begin(u) : 0;
      const float* const wide = static_cast<const float*>(side.memory) + at;
      const bf16* const narrow = static_cast<const bf16*>(side.memory) + at;
      if (valid == 4 && side.vectors && side.wide) {
        const float4 four = *reinterpret_cast<const float4*>(wide);
        x[0] = four.x, x[1] = four.y, x[2] = four.z, x[3] = four.w;
      } else if (valid == 4 && side.vectors) {
        const uint2 four = *reinterpret_cast<const uint2*>(narrow);
        x[0] = __uint_as_float(four.x << 16), x[1] = __uint_as_float(four.x & 0xffff0000u);
        x[2] = __uint_as_float(four.y << 16), x[3] = __uint_as_float(four.y & 0xffff0000u);
      } else {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          if (i < valid) x[i] = side.wide ? wide[i] : widen(narrow[i]);
        }
      }
      waiting[u] = make_float4(x[0], x[1], x[2], x[3]);
    }
    pieces.advance();
  }

  // Rows of kStride floats in shared memory, one for each step of k.
  template <int kStride, class P>
  static __device__ void put(const P& pieces, bool along_k, const float4 (&waiting)[P::kOwn], float* stage) {
#pragma unroll
    for (int u = 0; u < P::kOwn; u++) {
      if (!P::mine(u)) continue;
      const float4 x = waiting[u];
      if (along_k) {
        float* const to = stage + pieces.column(u) * 4 * kStride + pieces.row(u);
        to[0] = x.x, to[kStride] = x.y, to[2 * kStride] = x.z, to[3 * kStride] = x.w;
      } else {
        *reinterpret_cast<float4*>(stage + pieces.row(u) * kStride + pieces.column(u) * 4) = x;
      }
    }
  }

  static __device__ void multiply(const Side& a, const Side& b, const Task& task, void* shared) {
    float* const stages = static_cast<float*>(shared);
    using Left = Pieces<kRows, kDepth, kUnit, kThreads>;
    using Right = Pieces<kCols, kDepth, kUnit, kThreads>;
    Left a_pieces(a, a.along_k, task.a_first, task.row, task.rows, task.k_begin, task.k_end);
    Right b_pieces(b, b.along_k, task.b_first, task.col, task.cols, task.k_begin, task.k_end);
    const int steps = int(tiles_of(task.k_end - task.k_begin, kDepth));
    const int lane = int(threadIdx.x) % kWarp, warp = int(threadIdx.x) / kWarp;
    const int row = (warp / kWarpsX * kLanesY) * kOwnRows + lane / kLanesX * 4;
    const int col = (warp % kWarpsX * kLanesX) * kOwnCols + lane % kLanesX * 4;

    float4 a_next[Left::kOwn], b_next[Right::kOwn];
    const auto put_stage = [&](int stage) {
      put<kRows + kPad>(a_pieces, a.along_k, a_next, stages + stage * kStage);
      put<kCols + kPad>(b_pieces, b.along_k, b_next, stages + stage * kStage + kLeft);
    };
    float sums[kOwnRows][kOwnCols] = {};
    if (steps > 0) {
      fetch(a_pieces, a, a_next);
      fetch(b_pieces, b, b_next);
      put_stage(0);
    }
    __syncthreads();
    for (int step = 0; step < steps; step++) {
      const bool more = step + 1 < steps;
      if (more) {
        fetch(a_pieces, a, a_next);
        fetch(b_pieces, b, b_next);
      }
      const float *const left = stages + step % 2 * kStage + row, *const right = stages + step % 2 * kStage + kLeft + col;
#pragma unroll
      for (int k = 0; k < kDepth; k++) {
        float x[kOwnRows], y[kOwnCols];
#pragma unroll
        for (int m = 0; m < kOwnRows; m += 4) {
          const float4 four = *reinterpret_cast<const float4*>(left + k * (kRows + kPad) + m * kLanesY);
          x[m] = four.x, x[m + 1] = four.y, x[m + 2] = four.z, x[m + 3] = four.w;
        }
#pragma unroll
        for (int n = 0; n < kOwnCols; n += 4) {
          const float4 four = *reinterpret_cast<const float4*>(right + k * (kCols + kPad) + n * kLanesX);
          y[n] = four.x, y[n + 1] = four.y, y[n + 2] = four.z, y[n + 3] = four.w;
        }
#pragma unroll
        for (int m = 0; m < kOwnRows; m++) {
#pragma unroll
          for (int n = 0; n < kOwnCols; n++) sums[m][n] += x[m] * y[n];
        }
      }
      if (more) put_stage((step + 1) % 2);  // which all have read: the barrier after the step before
      __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < kOwnRows; m++) {
#pragma unroll
      for (int n = 0; n < kOwnCols; n += 4) {
        float* const at = stages + (row + m / 4 * 4 * kLanesY + m % 4) * kLd + col + n * kLanesX;
        *reinterpret_cast<float4*>(at) = make_float4(sums[m][n], sums[m][n + 1], sums[m][n + 2], sums[m][n + 3]);
      }
    }
    __syncthreads();
  }
};

template <class Core, class Tasks, class Finish>
__global__ __launch_bounds__(Core::kThreads, Core::kBlocks) void product_kernel(Side a, Side b, Tasks tasks, Finish finish) {
  MW_SHARED(float, shared);
  Task task;
  if (!tasks(int64_t(blockIdx.x), Core::kRows, Core::kCols, task)) return;
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
    return {c.memory, c.dtype == DType::f32, stride, group_stride, alpha, accumulate, bias.memory, bias.dtype == DType::f32, vectors};
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
    for (int i = thread; i < rows * (cols / 4); i += threads) {
      const int row = i / (cols / 4), col = i % (cols / 4) * 4;
      const float4 four = *reinterpret_cast<const float4*>(sums + row * ld + col);
      float y[4] = {value(four.x, j + col), value(four.y, j + col + 1), value(four.z, j + col + 2), value(four.w, j + col + 3)};
      struct alignas(4 * sizeof(T)) Four { T x[4]; };
      Four* const at = reinterpret_cast<Four*>(c + row * stride + col);
      Four out;
      if (accumulate) out = *at;
#pragma unroll
      for (int n = 0; n < 4; n++) narrow(accumulate ? y[n] + widen(out.x[n]) : y[n], out.x[n]);
      *at = out;
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

// Calls body(rows, cols) with a tile size for C of M rows (on average, if there are `groups`) and N columns: flat or narrow where
// C is, small where large ones would leave multiprocessors without work.
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
    const int64_t piece = index / (row_tiles * col_tiles);
    const TilePlace place = tile_place(index - piece * row_tiles * col_tiles, row_tiles, col_tiles);
    task.group = piece;
    task.row = place.row * rows;
    task.rows = M - task.row < rows ? M - task.row : rows;
    task.col = place.col * cols;
    task.cols = N - task.col < cols ? N - task.col : cols;
    task.k_begin = piece * depth;
    task.k_end = K - task.k_begin < depth ? K : task.k_begin + depth;
    return true;
  }
};

constexpr int kCombineRows = 16, kCombineCols = 64, kCombineThreads = 256;
template <class Finish>
__global__ __launch_bounds__(kCombineThreads) void combine_kernel(const float* partial, int64_t count, int64_t M, int64_t N, int64_t stride,
                                                                  Finish finish) {
  constexpr int kLd = kCombineCols + kSumsPad;
  alignas(16) __shared__ float sums[kCombineRows * kLd];
  const int64_t col_tiles = tiles_of(N, kCombineCols);
  const int64_t i = int64_t(blockIdx.x) / col_tiles * kCombineRows, j = int64_t(blockIdx.x) % col_tiles * kCombineCols;
  const int rows = M - i < kCombineRows ? int(M - i) : kCombineRows, cols = N - j < kCombineCols ? int(N - j) : kCombineCols;
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
    multiply_tiles<kRows, kCols, kAllLayouts>(exec, a, b, tiles * count, tasks, Store::to(partial, stride, M * stride, 1, false));
    launch(exec, combine_kernel<Finish>, dim3(unsigned(pieces(M, kCombineRows) * pieces(N, kCombineCols))), kCombineThreads, 0,
           static_cast<const float*>(partial.memory), count, M, N, stride, finish);
  });
}

}  // namespace mixwright::cuda
