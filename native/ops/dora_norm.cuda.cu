// dora_norm: W is read once (cuda/narrow.h: a block owns 64 rows of one expert, or a part of K of them) in E·N·r·K
// multiply-adds, A as often as there are blocks, from the cache. W·Aᵀ and A·Aᵀ are left in scratch; a warp then finishes a row.
// row_sum_squares: N·K elements are read once; a warp owns a row.
#include "ops/dora_norm.h"

#include "cuda/narrow.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256, kWarps = kThreads / kWarp;

__global__ void norm_kernel(const float* weight_square, const float* cross, const float* grams, AnyFloats b, float* norm,
                            int64_t rows, int64_t N, int64_t r, float scale) {
  const int lane = threadIdx.x % kWarp;
  for (int64_t row = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarp; row < rows; row += int64_t(gridDim.x) * kWarps) {
    const float* const gram = grams + row / N * r * r;
    float change = 0;
    for (int64_t j = lane; j < r; j += kWarp) {
      float product = 0;
      for (int64_t i = 0; i < r; i++) product += b.at(row * r + i) * gram[i * r + j];
      change += b.at(row * r + j) * (2.0f * scale * cross[row * r + j] + scale * scale * product);
    }
    const float total = weight_square[row] + warp_sum(change);
    if (lane == 0) norm[row] = sqrtf(total < 0 ? 0.0f : total);
  }
}

template <class X>
__global__ void squares_kernel(const X* x, float* y, int64_t N, int64_t K, bool aligned) {
  const int lane = threadIdx.x % kWarp;
  for (int64_t n = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarp; n < N; n += int64_t(gridDim.x) * kWarps) {
    float sums[4] = {};
#pragma unroll 4
    for (int64_t k = 4 * lane; k < K; k += 4 * kWarp) {
      float v[4];
      widen_four(load_four(x + n * K + k, K - k, aligned), v);
#pragma unroll
      for (int i = 0; i < 4; i++) sums[i] += v[i] * v[i];
    }
    const float total = warp_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
    if (lane == 0) y[n] = total;
  }
}
}  // namespace

void dora_norm(Exec& exec, In weight, In weight_square, In a, In b, Out norm, float scale) {
  if (norm.size() == 0) return;
  const int64_t E = weight.rank == 3 ? weight.dim[0] : 1, N = norm.size() / E, r = a.size() == 0 ? 0 : a.rows() / E;
  const int64_t K = r == 0 ? 0 : a.cols();
  require(weight_square.size() == E * N && b.size() == E * N * r && (r == 0 || weight.size() == E * N * K),
          "operands do not fit each other");
  float *const cross = exec.scratch<float>(E * N * r, 4), *const grams = exec.scratch<float>(E * r * r, 5);
  const auto times_a = [&](In x, int64_t rows, float* out) {
    with_float_type(x.dtype, [&](auto type) {
      using X = decltype(type);
      narrow_down(exec, Down<X>{x.data<X>(), a, out, E, rows, K, r, 1, K, r * K, 0, 0, false, false, {}}, 6);
    });
  };
  times_a(weight, N, cross);
  times_a(a, r, grams);
  launch(exec, norm_kernel, blocks_for(exec, E * N * kWarp, kThreads), kThreads, 0, weight_square.data<float>(), cross, grams,
         b, norm.data<float>(), E * N, N, r, scale);
}

void row_sum_squares(Exec& exec, In x, Out y) {
  const int64_t N = y.size(), K = N == 0 ? 0 : x.size() / N;
  with_float_type(x.dtype, [&](auto type) {
    using X = decltype(type);
    launch(exec, squares_kernel<X>, blocks_for(exec, N * kWarp, kThreads), kThreads, 0, x.data<X>(), y.data<float>(), N, K,
           by_fours(x.memory, sizeof(X), K));
  });
}

}  // namespace mixwright::cuda
