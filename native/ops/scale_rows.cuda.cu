// Bytes moved: 2·N·K elements. A warp owns a row, or kPiece columns of it at a time.
#include "ops/scale_rows.h"

#include <algorithm>

#include "cuda/fours.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int64_t kPiece = 4096;

template <class X, class Y>
__global__ void scale_kernel(const X* x, AnyFloats numerator, const float* denominator, Y* y, int64_t N, int64_t K,
                             bool aligned) {
  const int lane = threadIdx.x % kWarp;
  for (int64_t n = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarp; n < N; n += int64_t(gridDim.x) * kWarps) {
    float factor = numerator.at(n);
    if (denominator) factor = denominator[n] == 0 ? 0.0f : factor / denominator[n];
    for (int64_t first = int64_t(blockIdx.y) * kPiece; first < K; first += int64_t(gridDim.y) * kPiece) {
      const int64_t end = min(K, first + kPiece);
      for (int64_t k = first + 4 * lane; k < end; k += 4 * kWarp) {
        float v[4];
        widen_four(load_four(x + n * K + k, end - k, aligned), v);
#pragma unroll
        for (int i = 0; i < 4; i++) v[i] *= factor;
        store_four(y + n * K + k, v, end - k, aligned);
      }
    }
  }
}
}  // namespace

void scale_rows(Exec& exec, In x, In numerator, In denominator, Out y) {
  const int64_t N = numerator.size(), K = N == 0 ? 0 : x.size() / N;
  if (N * K == 0) return;
  with_float_type(x.dtype, [&](auto x_type) {
    with_float_type(y.dtype, [&](auto y_type) {
      using X = decltype(x_type);
      using Y = decltype(y_type);
      const dim3 rows = blocks_for(exec, N * kWarp, kThreads);
      const dim3 grid(rows.x, unsigned(std::min<int64_t>(pieces(K, kPiece), 65535)));
      launch(exec, scale_kernel<X, Y>, grid, kThreads, 0, x.data<X>(), numerator, denominator.data<float>(), y.data<Y>(), N, K,
             by_fours(K, x, y));
    });
  });
}

}  // namespace mixwright::cuda
