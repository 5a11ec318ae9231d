// matmul: the matrix core (cpu/gemm.h); M·N·K multiply-adds, operands are read about N/512 and M/96 times, from cache
// (N/1024 and M/192 where L2 is large).
// A task owns a tile of c. column_sum: T·N elements are read once; a task owns a block of 128 rows, later 256 columns.
#include "ops/matmul.h"

#include "cpu/gemm.h"

namespace mixwright::cpu::MW_ISA {

void matmul(Exec& exec, In a, In b, In bias, Out c, bool transpose_a, bool transpose_b, float alpha, bool accumulate) {
  if (c.size() == 0) return;
  const int64_t M = c.rows(), N = c.cols(), K = transpose_a ? a.rows() : a.cols();
  require(a.size() == M * K && b.size() == K * N, "operands do not fit each other");
  float* wide_bias = nullptr;
  if (bias) {
    require(bias.size() == N, "the bias does not fit the columns of c");
    wide_bias = exec.shared<float>(N, 1);
    with_float_type(bias.dtype, [&](auto type) {
      for (int64_t n = 0; n < N; n++) wide_bias[n] = widen(bias.data<decltype(type)>()[n]);
    });
  }
  const Operand left{a.memory, a.dtype, a.cols(), !transpose_a}, right{b.memory, b.dtype, b.cols(), transpose_b};
  gemm(exec, left, right, M, N, K, Store{c.memory, c.dtype, N, alpha, accumulate, wide_bias});
}

void column_sum(Exec& exec, In x, Out y, bool accumulate) {
  constexpr int64_t kRows = 128;
  const int64_t T = x.rows(), N = y.size(), blocks = pieces(T, kRows);
  float* const partial = exec.shared<float>(blocks * N);
  with_float_type(x.dtype, [&](auto type) {
    using E = decltype(type);
    exec.parallel(blocks, [&](int64_t block, Worker&) {
      float* const sums = partial + block * N;
      std::memset(sums, 0, size_t(N) * sizeof(float));
      for (int64_t t = block * kRows; t < T && t < (block + 1) * kRows; t++) {
        const E* row = x.data<E>() + t * N;
        sweep(
            N, [&](int64_t n) { store(sums + n, load(sums + n) + load(row + n)); },
            [&](int64_t n, int64_t left) { store(sums + n, load(sums + n, left) + load(row + n, left), left); });
      }
    });
  });
  with_float_type(y.dtype, [&](auto type) {
    using E = decltype(type);
    exec.parallel_range(N, 256, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; n++) {
        float total = accumulate ? widen(y.data<E>()[n]) : 0.0f;
        for (int64_t block = 0; block < blocks; block++) total += partial[block * N + n];
        narrow(total, y.data<E>()[n]);
      }
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
