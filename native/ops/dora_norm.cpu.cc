// dora_norm: W is read once, E·N·r·K multiply-adds; a task owns 96 rows of one expert. A·Aᵀ is made before, one task an
// expert. row_sum_squares: N·K elements are read once; a task owns 16 rows.
#include "ops/dora_norm.h"

#include "cpu/gemm.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kRows = 96;
constexpr int kGramSlot = 1;

float dot(const float* x, const float* y, int64_t n) {
  vf sums = {};
  sweep(
      n, [&](int64_t i) { sums += load(x + i) * load(y + i); },
      [&](int64_t i, int64_t left) { sums += load(x + i, left) * load(y + i, left); });
  return sum(sums);
}
}  // namespace

void dora_norm(Exec& exec, In weight, In weight_square, In a, In b, Out norm, float scale) {
  if (norm.size() == 0) return;
  const int64_t E = weight.rank == 3 ? weight.dim[0] : 1, N = norm.size() / E, r = a.size() == 0 ? 0 : a.rows() / E;
  const int64_t K = r == 0 ? 0 : a.cols();
  require(weight_square.size() == E * N && b.size() == E * N * r && (r == 0 || weight.size() == E * N * K),
          "operands do not fit each other");
  const Operand weights{weight.memory, weight.dtype, K, true}, as{a.memory, a.dtype, K, true};
  float* const gram = exec.shared<float>(E * r * r, kGramSlot);
  exec.parallel(E, [&](int64_t e, Worker& worker) {
    const Operand own = as.from(e * r);
    gemm_tile(own, own, Packed{}, Tile{0, r, 0, r}, K, worker.scratch<float>(tile_scratch(r, r)),
              Store{gram + e * r * r, DType::f32, r});
  });
  const int64_t blocks = pieces(N, kRows);
  exec.parallel(E * blocks, [&](int64_t task, Worker& worker) {
    const int64_t e = task / blocks, first = task % blocks * kRows, rows = std::min(kRows, N - first);
    float* const wide_b = worker.scratch<float>(rows * r + tile_scratch(rows, r));
    with_float_type(b.dtype, [&](auto type) {
      const auto* const from = b.data<decltype(type)>() + (e * N + first) * r;
      for (int64_t i = 0; i < rows * r; i++) wide_b[i] = widen(from[i]);
    });
    double cross[kRows] = {};
    gemm_tile(weights.from(e * N + first), as.from(e * r), Packed{}, Tile{0, rows, 0, r}, K, wide_b + rows * r,
              [&](int64_t i, int64_t j, int64_t block_rows, int64_t cols, const float* sums, int64_t ld) {
                for (int64_t k = 0; k < block_rows; k++) cross[i + k] += dot(sums + k * ld, wide_b + (i + k) * r + j, cols);
              });
    for (int64_t i = 0; i < rows; i++) {
      const float* const own = wide_b + i * r;
      double square = 0;
      for (int64_t j = 0; j < r; j++) square += double(own[j]) * dot(gram + (e * r + j) * r, own, r);
      const int64_t at = e * N + first + i;
      const double total = weight_square.data<float>()[at] + 2.0 * scale * cross[i] + double(scale) * scale * square;
      norm.data<float>()[at] = float(std::sqrt(total < 0 ? 0 : total));
    }
  });
}

void row_sum_squares(Exec& exec, In x, Out y) {
  const int64_t N = y.size(), K = N == 0 ? 0 : x.size() / N;
  with_float_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    exec.parallel_range(N, 16, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; n++) {
        const T* const row = x.data<T>() + n * K;
        vf squares = {};
        sweep(
            K, [&](int64_t k) { const vf v = load(row + k); squares += v * v; },
            [&](int64_t k, int64_t left) { const vf v = load(row + k, left); squares += v * v; });
        y.data<float>()[n] = sum(squares);
      }
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
