// matmul (ops/matmul.h), then a pass that adds the low-rank product to what it left: T·N·r multiply-adds. f32 results are
// finished where they are. For bf16 the base product is f32 in scratch, a chunk of rows at a time that stays in the cache,
// so that sums are rounded once. A block of the pass owns 64 × 128 elements, a thread 8 × 4 of them.
#include "ops/low_rank_linear.h"

#include <algorithm>

#include "cuda/narrow.h"
#include "ops/matmul.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256, kRows = 64, kColumns = 128, kDepth = 16, kLeft = kRows + 4, kRight = kColumns + 4, kAtOnce = 4;

// y = factor ⊙ (base + drop(scale · low · right)) + bias (+ y), rows [0, rows); `row` of them came before.
template <class Y>
struct Finish {
  const float *base, *low;
  AnyFloats right;  // element (j, n) at j · depth_stride + n · column_stride
  int64_t depth_stride, column_stride;
  AnyFloats magnitude;
  const float* norm;
  AnyFloats bias;
  Y* y;
  int64_t row, rows, cols, r;
  float scale;
  bool accumulate, base_aligned, y_aligned;
  Drop drop;
};

template <class Y>
__global__ void __launch_bounds__(kThreads, 2) finish_kernel(const Finish<Y> of) {
  MW_SHARED(float, memory);
  float* const left = memory;                    // [depth][row]
  float* const right = memory + kDepth * kLeft;  // [depth][column]
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t row = int64_t(blockIdx.x) * kRows;
  for (int64_t col = int64_t(blockIdx.y) * kColumns; col < of.cols; col += int64_t(gridDim.y) * kColumns) {
    float sums[8][4] = {};
    for (int64_t k = 0; k < of.r; k += kDepth) {
      __syncthreads();
      for (int i = threadIdx.x; i < kRows * kDepth; i += kThreads) {
        const int d = i % kDepth, t = i / kDepth;
        left[d * kLeft + t] = k + d < of.r && row + t < of.rows ? of.low[(row + t) * of.r + k + d] : 0.0f;
      }
      for (int i = threadIdx.x; i < kColumns * kDepth; i += kThreads) {  // neighbours in memory by neighbouring threads
        const int d = of.depth_stride == 1 ? i % kDepth : i / kColumns, n = of.depth_stride == 1 ? i / kDepth : i % kColumns;
        const bool inside = k + d < of.r && col + n < of.cols;
        right[d * kRight + n] = inside ? of.right.at((k + d) * of.depth_stride + (col + n) * of.column_stride) : 0.0f;
      }
      __syncthreads();
#pragma unroll 4
      for (int d = 0; d < kDepth; d++) {
        const float4 b = *reinterpret_cast<const float4*>(right + d * kRight + 4 * lane);
        const float4 front = *reinterpret_cast<const float4*>(left + d * kLeft + 8 * warp);
        const float4 back = *reinterpret_cast<const float4*>(left + d * kLeft + 8 * warp + 4);
        const float a[8] = {front.x, front.y, front.z, front.w, back.x, back.y, back.z, back.w};
#pragma unroll
        for (int i = 0; i < 8; i++) {
          sums[i][0] += a[i] * b.x;
          sums[i][1] += a[i] * b.y;
          sums[i][2] += a[i] * b.z;
          sums[i][3] += a[i] * b.w;
        }
      }
    }
    const int64_t own = col + 4 * lane, count = of.cols - own;
    float factor[4], shift[4];
#pragma unroll
    for (int n = 0; n < 4; n++) {
      factor[n] = 1;
      if (of.norm && n < count) {
        const float norm = of.norm[own + n];
        factor[n] = norm == 0 ? 0.0f : of.magnitude.at(own + n) / norm;
      }
      shift[n] = of.bias.memory && n < count ? of.bias.at(own + n) : 0.0f;
    }
    if (of.drop.limit > 0) {
#pragma unroll
      for (int i = 0; i < 8; i++) of.drop.apply((of.row + row + 8 * warp + i) * of.cols + own, sums[i]);
    }
#pragma unroll
    for (int first = 0; first < 8; first += kAtOnce) {
      Four<float> base[kAtOnce];
      Four<Y> old[kAtOnce] = {};
#pragma unroll
      for (int i = 0; i < kAtOnce; i++) {
        const int64_t t = row + 8 * warp + first + i, inside = t < of.rows ? count : 0;
        base[i] = load_four(of.base + t * of.cols + own, inside, of.base_aligned);
        if (of.accumulate) old[i] = load_four(of.y + t * of.cols + own, inside, of.y_aligned);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; i++) {
        const int64_t t = row + 8 * warp + first + i, at = t * of.cols + own;
        float value[4], before[4];
        widen_four(base[i], value);
        widen_four(old[i], before);
#pragma unroll
        for (int n = 0; n < 4; n++) value[n] = factor[n] * (value[n] + of.scale * sums[first + i][n]) + shift[n] + before[n];
        if (t < of.rows) store_four(of.y + at, value, count, of.y_aligned);
      }
    }
  }
}

template <class Y>
void multiply_and_finish(Exec& exec, In left, In weight, bool transpose, Finish<Y> of, DType dtype) {
  const bool there = dtype == DType::f32;
  const int64_t rows = of.rows, chunk = there ? rows : std::min(rows, cached_rows(of.cols));
  const float* const low = of.low;
  Y* const y = of.y;
  float* const scratch = there ? nullptr : exec.scratch<float>(chunk * of.cols, 4);
  const bool add_base = there && of.accumulate;
  if (there) of.accumulate = false;
  for (int64_t row = 0; row < rows; row += chunk) {
    of.row = row;
    of.rows = std::min(chunk, rows - row);
    of.low = low + row * of.r;
    of.y = y + row * of.cols;
    View base;
    base.memory = there ? static_cast<void*>(y) : scratch;
    base.rank = 2;
    base.dim[0] = of.rows;
    base.dim[1] = of.cols;
    of.base = static_cast<const float*>(base.memory);
    of.base_aligned = by_fours(of.base, 4, of.cols);
    of.y_aligned = by_fours(of.y, sizeof(Y), of.cols);
    matmul(exec, rows_of(left, row, of.rows), weight, In{}, Out{base}, false, transpose, 1.0f, add_base);
    const int64_t across = pieces(of.cols, kColumns);
    const dim3 grid(unsigned(pieces(of.rows, kRows)), unsigned(std::min<int64_t>(across, 65535)));
    launch(exec, finish_kernel<Y>, grid, kThreads, int64_t(sizeof(float)) * kDepth * (kLeft + kRight), of);
  }
}
}  // namespace

void low_rank_linear(Exec& exec, In x, In weight, In low, In b, In magnitude, In norm, In bias, Out y, float scale) {
  if (y.size() == 0) return;
  const int64_t T = y.rows(), N = y.cols(), K = weight.cols(), r = b.cols();
  require(x.size() == T * K && weight.size() == N * K && b.size() == N * r && low.size() == T * r,
          "operands do not fit each other");
  require(!magnitude == !norm, "a magnitude has a norm");
  with_float_type(y.dtype, [&](auto type) {
    using Y = decltype(type);
    multiply_and_finish<Y>(exec, x, weight, true,
                           {nullptr, low.data<float>(), b, 1, r, magnitude, norm.data<float>(), bias, y.data<Y>(), 0, T, N, r,
                            scale, false, false, false, {}},
                           y.dtype);
  });
}

void low_rank_linear_dx(Exec& exec, In dv, In weight, In dlow, In a, Out dx, bool accumulate, float p, int64_t seed,
                        int64_t stream) {
  if (dx.size() == 0) return;
  const int64_t T = dx.rows(), K = dx.cols(), N = weight.rows(), r = a.rows();
  require(dv.size() == T * N && weight.size() == N * K && a.size() == r * K && dlow.size() == T * r,
          "operands do not fit each other");
  with_float_type(dx.dtype, [&](auto type) {
    using Y = decltype(type);
    multiply_and_finish<Y>(exec, dv, weight, false,
                           {nullptr, dlow.data<float>(), a, K, 1, In{}, nullptr, In{}, dx.data<Y>(), 0, T, K, r, 1.0f,
                            accumulate, false, false, Drop(p, seed, stream)},
                           dx.dtype);
  });
}

}  // namespace mixwright::cuda
