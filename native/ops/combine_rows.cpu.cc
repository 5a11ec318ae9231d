// Bytes moved: forward N·D + T·D elements; backward T·D + N·D, and N·D more for dweights. A task owns 16 tokens, and of dy
// the rows that its slots lie at.
#include "ops/combine_rows.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kTokens = 16;

void check_positions(const int32_t* positions, int64_t N, int64_t rows) {
  for (int64_t slot = 0; slot < N; slot++) {
    if (positions[slot] < 0 || positions[slot] >= rows) {
      fail("slot %lld lies at row %d, there are %lld", static_cast<long long>(slot), positions[slot],
           static_cast<long long>(rows));
    }
  }
}

// out (+)= Σ_k weights[k] · y[positions[k]], V vectors at a time
template <int V, class Y, class O>
MW_INLINE void combine_part(const Y* y, const float* weights, const int32_t* positions, O* out, int64_t K, int64_t D,
                            bool accumulate) {
  vf total[V] = {};
  for (int64_t k = 0; k < K; k++) {
    const Y* row = y + positions[k] * D;
    const float weight = weights ? weights[k] : 1.0f;
    for (int v = 0; v < V; v++) total[v] += weight * load(row + v * kLanes);
  }
  for (int v = 0; v < V; v++) {
    if (accumulate) total[v] += load(out + v * kLanes);
    store(out + v * kLanes, total[v]);
  }
}

template <class Y, class O>
void combine_token(const Y* y, const float* weights, const int32_t* positions, O* out, int64_t K, int64_t D,
                   bool accumulate) {
  constexpr int V = 4;
  int64_t i = 0;
  for (; i + V * kLanes <= D; i += V * kLanes) combine_part<V>(y + i, weights, positions, out + i, K, D, accumulate);
  for (; i + kLanes <= D; i += kLanes) combine_part<1>(y + i, weights, positions, out + i, K, D, accumulate);
  if (i == D) return;
  vf total = {};
  for (int64_t k = 0; k < K; k++) total += (weights ? weights[k] : 1.0f) * load(y + positions[k] * D + i, D - i);
  if (accumulate) total += load(out + i, D - i);
  store(out + i, total, D - i);
}

template <class O, class Y>
void scale_row(const O* dout, float weight, Y* dy, int64_t D) {
  sweep(D, [&](int64_t i, auto... lanes) { store(dy + i, weight * load(dout + i, lanes...), lanes...); });
}

template <class O, class Y>
float dot_row(const O* dout, const Y* y, int64_t D) {
  vf dot = {};
  sweep(D, [&](int64_t i, auto... lanes) { dot += load(dout + i, lanes...) * load(y + i, lanes...); });
  return sum(dot);
}
}  // namespace

void combine_rows(Exec& exec, In y, In weights, In positions, Out out, bool accumulate) {
  const int64_t T = out.rows(), D = out.cols(), N = positions.size(), K = T == 0 ? 0 : N / T;
  const int32_t* position = positions.data<int32_t>();
  check_positions(position, N, y.rows());
  with_float_type(y.dtype, [&](auto y_type) {
    with_float_type(out.dtype, [&](auto out_type) {
      using Y = decltype(y_type);
      using O = decltype(out_type);
      exec.parallel_range(T, kTokens, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; t++) {
          const float* weight = weights ? weights.data<float>() + t * K : nullptr;
          combine_token(y.data<Y>(), weight, position + t * K, out.data<O>() + t * D, K, D, accumulate);
        }
      });
    });
  });
}

void combine_rows_grad(Exec& exec, In dout, In y, In weights, In positions, Out dy, Out dweights) {
  const int64_t T = dout.rows(), D = dout.cols(), N = positions.size(), K = T == 0 ? 0 : N / T;
  const int32_t* position = positions.data<int32_t>();
  check_positions(position, N, dy.rows());
  with_float_type(dout.dtype, [&](auto dout_type) {
    with_float_type(dy.dtype, [&](auto y_type) {
      using O = decltype(dout_type);
      using Y = decltype(y_type);
      exec.parallel_range(T, kTokens, [&](int64_t begin, int64_t end) {
        for (int64_t slot = begin * K; slot < end * K; slot++) {
          const O* from = dout.data<O>() + slot / K * D;
          const int64_t at = position[slot] * D;
          if (dweights) dweights.data<float>()[slot] = dot_row(from, y.data<Y>() + at, D);
          scale_row(from, weights ? weights.data<float>()[slot] : 1.0f, dy.data<Y>() + at, D);
        }
      });
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
