// The matrix core (cpu/gemm.h) with T·r more multiply-adds a column in its finish; y and dx are written once. A task owns
// a tile of y. The narrow operand, the factors and the bias are widened before.
#include "ops/low_rank_linear.h"

#include "cpu/gemm.h"
#include "cpu/narrow.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int kSlot = 3;
constexpr int64_t kSide = 2 * kLanes, kGrain = 256;

// left [·][r] · right [r][columns]: rows of `step` floats, which may be read up to kSide past the end.
struct LowRank {
  const float *left, *right;
  int64_t r, step;
};

// Adds a low-rank product to what the matrix core finishes: body(row, col, count, sums, part) gets pieces of rows of up to
// kSide columns, `part` pointing at as many elements of left·right, `sums` at those of the base product.
template <class E, class Body>
struct Finish {
  const LowRank& of;
  E* memory;
  int64_t stride;
  Body body;

  void ahead(int64_t i, int64_t j, int64_t rows, int64_t cols) const {
    for (int64_t r = 0; r < rows; r++) ask<true>(memory + (i + r) * stride + j, cols);
  }

  void operator()(int64_t i, int64_t j, int64_t rows, int64_t cols, const float* sums, int64_t ld) const {
    float part[kNarrowRows * kSide];
    for (int64_t r = 0; r < rows; r += kNarrowRows) {
      const int64_t height = std::min<int64_t>(kNarrowRows, rows - r);
      for (int64_t c = 0; c < cols; c += kSide) {
        const int64_t count = std::min(kSide, cols - c);
        const Panel right{of.right + j + c, of.step, whole_vectors(count)};
        narrow_product(of.left + (i + r) * of.r, height, of.r, 1, right, of.r, part, kSide, false);
        for (int64_t k = 0; k < height; k++) body(i + r + k, j + c, count, sums + (r + k) * ld + c, part + k * kSide);
      }
    }
  }
};

template <class E, class Body>
Finish<E, Body> adding(const LowRank& of, E* memory, int64_t stride, Body body) {
  return {of, memory, stride, body};
}

MW_INLINE vf divide(vf x, vf norm) { return select(norm == vf{}, vf{}, x / norm); }

template <class T>
void widen_row(const T* x, float* y, int64_t n) {
  sweep(n, [&](int64_t i, auto... lanes) { store(y + i, load(x + i, lanes...), lanes...); });
}
}  // namespace

void low_rank_linear(Exec& exec, In x, In weight, In low, In b, In magnitude, In norm, In bias, Out y, float scale) {
  if (y.size() == 0) return;
  const int64_t T = y.rows(), N = y.cols(), K = weight.cols(), r = b.cols(), step = whole_vectors(N);
  require(x.size() == T * K && weight.size() == N * K && b.size() == N * r && low.size() == T * r,
          "operands do not fit each other");
  require(!magnitude == !norm, "a magnitude has a norm");
  float* const right = exec.shared<float>((r + 2) * step + kSide, kSlot);
  float* const factor = magnitude ? right + r * step : nullptr;
  float* const wide_bias = bias ? right + (r + 1) * step : nullptr;
  exec.parallel_range(N, kGrain, [&](int64_t begin, int64_t end) {
    with_float_type(b.dtype, [&](auto type) {
      narrow_pack(b.data<decltype(type)>() + begin * r, r, end - begin, r, right + begin, step);
    });
    if (bias) {
      with_float_type(bias.dtype, [&](auto type) {
        widen_row(bias.data<decltype(type)>() + begin, wide_bias + begin, end - begin);
      });
    }
    if (!magnitude) return;
    with_float_type(magnitude.dtype, [&](auto type) {
      const auto* const m = magnitude.data<decltype(type)>() + begin;
      sweep(end - begin, [&](int64_t n, auto... lanes) {
        store(factor + begin + n, divide(load(m + n, lanes...), load(norm.data<float>() + begin + n, lanes...)), lanes...);
      });
    });
  });
  const LowRank added{low.data<float>(), right, r, step};
  const Operand left{x.memory, x.dtype, K, true}, weights{weight.memory, weight.dtype, K, true};
  with_float_type(y.dtype, [&](auto type) {
    using E = decltype(type);
    const auto write = [&](int64_t row, int64_t col, int64_t count, const float* base, const float* part) {
      E* const to = y.data<E>() + row * N + col;
      sweep(count, [&](int64_t n, auto... lanes) {
        vf value = load(base + n, lanes...) + scale * load(part + n, lanes...);
        if (factor) value *= load(factor + col + n, lanes...);
        if (wide_bias) value += load(wide_bias + col + n, lanes...);
        store(to + n, value, lanes...);
      });
    };
    gemm(exec, left, weights, T, N, K, adding(added, y.data<E>(), N, write));
  });
}

void low_rank_linear_dx(Exec& exec, In dv, In weight, In dlow, In a, Out dx, bool accumulate, float p, int64_t seed,
                        int64_t stream) {
  if (dx.size() == 0) return;
  const int64_t T = dx.rows(), K = dx.cols(), N = weight.rows(), r = a.rows(), step = whole_vectors(K);
  require(dv.size() == T * N && weight.size() == N * K && a.size() == r * K && dlow.size() == T * r,
          "operands do not fit each other");
  float* const right = exec.shared<float>(r * step + kSide, kSlot);
  with_float_type(a.dtype, [&](auto type) {
    exec.parallel(r, [&](int64_t k, Worker&) { widen_row(a.data<decltype(type)>() + k * K, right + k * step, K); });
  });
  const Drop drop(p, seed, stream);
  const LowRank added{dlow.data<float>(), right, r, step};
  const Operand left{dv.memory, dv.dtype, N, true}, weights{weight.memory, weight.dtype, K, false};
  with_float_type(dx.dtype, [&](auto type) {
    using E = decltype(type);
    const auto write = [&](int64_t row, int64_t col, int64_t count, const float* base, float* part) {
      E* const to = dx.data<E>() + row * K + col;
      if (p > 0) drop.apply(row * K + col, part, part, count);
      sweep(count, [&](int64_t n, auto... lanes) {
        const vf value = load(base + n, lanes...) + load(part + n, lanes...);
        store(to + n, accumulate ? value + load(to + n, lanes...) : value, lanes...);
      });
    };
    gemm(exec, left, weights, T, K, N, adding(added, dx.data<E>(), K, write));
  });
}

}  // namespace mixwright::cpu::MW_ISA
