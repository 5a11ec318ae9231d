// One thread an element: a stand-in.
#include "ops/matmul.h"

#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
template <class A, class B, class C>
__global__ void product(const A* a, const B* b, const void* bias, bool wide_bias, C* c, int64_t M, int64_t N, int64_t K, bool ta, bool tb, float alpha,
                        bool accumulate) {
  grid_stride(M * N, [&](int64_t i) {
    const int64_t m = i / N, n = i % N;
    float sum = 0;
    for (int64_t k = 0; k < K; k++) sum += load_float(a + (ta ? k * M + m : m * K + k)) * load_float(b + (tb ? n * K + k : k * N + n));
    sum *= alpha;
    if (bias) sum += wide_bias ? static_cast<const float*>(bias)[n] : load_float(static_cast<const bf16*>(bias) + n);
    store_float(c + i, accumulate ? sum + load_float(c + i) : sum);
  });
}

template <class X, class Y>
__global__ void sum_columns(const X* x, Y* y, int64_t T, int64_t N, bool accumulate) {
  grid_stride(N, [&](int64_t n) {
    float sum = accumulate ? load_float(y + n) : 0;
    for (int64_t t = 0; t < T; t++) sum += load_float(x + t * N + n);
    store_float(y + n, sum);
  });
}
}  // namespace

void matmul(Exec& exec, In a, In b, In bias, Out c, bool transpose_a, bool transpose_b, float alpha, bool accumulate) {
  if (c.size() == 0) return;
  const int64_t M = c.rows(), N = c.cols(), K = transpose_a ? a.rows() : a.cols();
  with_float_type(a.dtype, [&](auto at) {
    with_float_type(b.dtype, [&](auto bt) {
      with_float_type(c.dtype, [&](auto ct) {
        using A = decltype(at);
        using B = decltype(bt);
        using C = decltype(ct);
        launch(exec, product<A, B, C>, blocks_for(exec, M * N, 128), 128, 0, a.data<A>(), b.data<B>(), bias.memory,
               bias.dtype == DType::f32, c.data<C>(), M, N, K, transpose_a, transpose_b, alpha, accumulate);
      });
    });
  });
}

void column_sum(Exec& exec, In x, Out y, bool accumulate) {
  with_float_type(x.dtype, [&](auto xt) {
    with_float_type(y.dtype, [&](auto yt) {
      using X = decltype(xt);
      using Y = decltype(yt);
      launch(exec, sum_columns<X, Y>, blocks_for(exec, y.size(), 128), 128, 0, x.data<X>(), y.data<Y>(), x.rows(), y.size(), accumulate);
    });
  });
}

}  // namespace mixwright::cuda
