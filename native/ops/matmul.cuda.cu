// matmul: the matrix core (cuda/gemm.h). M·N·K multiply-adds; a block owns a tile of c, up to 128 × 128, and reads its rows of
// a and columns of b once.
// column_sum: T·N elements are read once; a block owns 128 rows of 128 columns, later all sums of 32 columns.
#include "ops/matmul.h"

#include "cuda/gemm.h"

namespace mixwright::cuda {

namespace {
constexpr int kSumRows = 128, kSumCols = 128;      // of a block, one column a thread
constexpr int kTotalCols = 32, kTotalParts = 8;  // a column's partial sums in so many parts, each added by one thread

template <class X>
__global__ __launch_bounds__(kSumCols) void partial_sums(const X* x, float* partial, int64_t T, int64_t N, int64_t col_blocks) {
  const int64_t block = int64_t(blockIdx.x) / col_blocks, n = int64_t(blockIdx.x) % col_blocks * kSumCols + threadIdx.x;
  if (n >= N) return;
  const int64_t begin = block * kSumRows, end = T - begin < kSumRows ? T : begin + kSumRows;
  float sum = 0;
#pragma unroll 8
  for (int64_t t = begin; t < end; t++) sum += load_float(x + t * N + n);
  partial[block * N + n] = sum;
}

template <class Y>
__global__ __launch_bounds__(kTotalCols* kTotalParts) void total_sums(const float* partial, Y* y, int64_t blocks, int64_t N,
                                                                      bool accumulate) {
  __shared__ float sums[kTotalParts][kTotalCols];
  const int part = int(threadIdx.x) / kTotalCols, col = int(threadIdx.x) % kTotalCols;
  const int64_t n = int64_t(blockIdx.x) * kTotalCols + col, size = tiles_of(blocks, kTotalParts), begin = part * size;
  const int64_t end = blocks - begin < size ? blocks : begin + size;
  float sum = 0;
  if (n < N) {
#pragma unroll 4
    for (int64_t block = begin; block < end; block++) sum += partial[block * N + n];
  }
  sums[part][col] = sum;
  __syncthreads();
  if (part > 0 || n >= N) return;
  float total = accumulate ? load_float(y + n) : 0;
  for (int p = 0; p < kTotalParts; p++) total += sums[p][col];
  store_float(y + n, total);
}
}  // namespace

void matmul(Exec& exec, In a, In b, In bias, Out c, bool transpose_a, bool transpose_b, float alpha, bool accumulate) {
  if (c.size() == 0) return;
  const int64_t M = c.rows(), N = c.cols(), K = transpose_a ? a.rows() : a.cols();
  require(a.size() == M * K && b.size() == K * N, "operands do not fit each other");
  require(!bias || bias.size() == N, "the bias does not fit the columns of c");
  gemm(exec, side_of(a, a.cols(), !transpose_a), side_of(b, b.cols(), transpose_b), M, N, K,
       Store::to(c, N, 0, alpha, accumulate, bias));
}

void column_sum(Exec& exec, In x, Out y, bool accumulate) {
  const int64_t T = x.rows(), N = y.size(), blocks = pieces(T, kSumRows), col_blocks = pieces(N, kSumCols);
  float* const partial = exec.scratch<float>(blocks * N);
  with_float_type(x.dtype, [&](auto type) {
    using X = decltype(type);
    launch(exec, partial_sums<X>, dim3(unsigned(blocks * col_blocks)), kSumCols, 0, x.data<X>(), partial, T, N, col_blocks);
  });
  with_float_type(y.dtype, [&](auto type) {
    using Y = decltype(type);
    launch(exec, total_sums<Y>, dim3(unsigned(pieces(N, kTotalCols))), kTotalCols * kTotalParts, 0, partial, y.data<Y>(),
           blocks, N, accumulate);
  });
}

}  // namespace mixwright::cuda
