// Bytes moved: forward N·D + T·D elements; backward T·D + N·D, and N·D more for dweights (dout's second to Kth reading hits the
// cache). Forward: a warp owns 128 columns of a token. Backward: a warp owns a slot, and the row of dy it lies at.
#include "ops/combine_rows.h"

#include "cuda/quads.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256, kBatch = 4;  // rows on their way at a time
constexpr const char* kComplaint = "slot %lld lies at row %lld, there are %lld";

template <bool kNeighbours, class Y, class O>
__global__ void __launch_bounds__(kThreads) combine(const Y* y, const float* weights, const int32_t* positions, O* out,
                                                    int64_t T, int64_t K, int64_t D, int64_t rows, bool accumulate, Report to) {
  const uint32_t warp = warp_of_grid(), tiles = uint32_t((D + kQuadColumns - 1) / kQuadColumns), tile = warp % tiles;
  const int64_t t = warp / tiles, column = quad_column<kNeighbours>(int64_t(tile) * kQuadColumns);
  if (t >= T) return;
  float sum[4] = {};
  int64_t missing = -1;
  for (int64_t slot = t * K; slot < t * K + K; slot += kBatch) {
    float v[kBatch][4] = {};
#pragma unroll
    for (int b = 0; b < kBatch; b++) {
      if (slot + b >= t * K + K) break;
      const int32_t row = positions[slot + b];
      if (row >= 0 && row < rows) {
        load_quad<kNeighbours>(y + row * D, column, D, v[b]);
      } else {
        missing = slot + b;
      }
    }
#pragma unroll
    for (int b = 0; b < kBatch; b++) {
      if (slot + b >= t * K + K) break;
      const float weight = weights ? weights[slot + b] : 1.0f;
      for (int j = 0; j < 4; j++) sum[j] += weight * v[b][j];
    }
  }
  if (missing >= 0 && tile == 0 && threadIdx.x % kWarp == 0) report(to, missing, positions[missing], rows);
  if (accumulate) {
    float own[4];
    load_quad<kNeighbours>(out + t * D, column, D, own);
    for (int j = 0; j < 4; j++) sum[j] += own[j];
  }
  store_quad<kNeighbours>(out + t * D, column, D, sum);
}

template <bool kNeighbours, class O, class Y>
__global__ void __launch_bounds__(kThreads) spread(const O* __restrict__ dout, const Y* __restrict__ y, const float* weights,
                                                   const int32_t* positions, Y* __restrict__ dy, float* dweights,
                                                   int64_t N, int64_t K, int64_t D, int64_t rows, Report to) {
  const int64_t slot = warp_of_grid();
  const int lane = threadIdx.x % kWarp;
  if (slot >= N) return;
  const int32_t row = positions[slot];
  if (row < 0 || row >= rows) {
    if (lane == 0) report(to, slot, row, rows);
    if (lane == 0 && dweights) dweights[slot] = 0;
    return;
  }
  const O* const from = dout + int64_t(uint32_t(slot) / uint32_t(K)) * D;
  const float weight = weights ? weights[slot] : 1.0f;
  float dot[4] = {};
  for (int64_t tile = 0; tile < D; tile += kQuadColumns) {
    const int64_t column = quad_column<kNeighbours>(tile);
    float d[4], own[4] = {};
    load_quad<kNeighbours>(from, column, D, d);
    if (dweights) load_quad<kNeighbours>(y + row * D, column, D, own);
    for (int j = 0; j < 4; j++) {
      dot[j] += d[j] * own[j];
      d[j] *= weight;
    }
    store_quad<kNeighbours>(dy + row * D, column, D, d);
  }
  if (!dweights) return;
  const float total = warp_sum(dot[0] + dot[1] + (dot[2] + dot[3]));
  if (lane == 0) dweights[slot] = total;
}
}  // namespace

void combine_rows(Exec& exec, In y, In weights, In positions, Out out, bool accumulate) {
  const int64_t T = out.rows(), D = out.cols();
  if (T == 0) return;
  const dim3 grid{unsigned(pieces(T * pieces(D, kQuadColumns), kThreads / kWarp))};
  with_float_type(y.dtype, [&](auto y_type) {
    with_float_type(out.dtype, [&](auto out_type) {
      using Y = decltype(y_type);
      using O = decltype(out_type);
      launch(exec, by_fours(D, y, out) ? combine<true, Y, O> : combine<false, Y, O>, grid, kThreads, 0, y.data<Y>(),
             weights.data<float>(), positions.data<int32_t>(), out.data<O>(), T, positions.size() / T, D, y.rows(), accumulate,
             exec.report(kComplaint));
    });
  });
}

void combine_rows_grad(Exec& exec, In dout, In y, In weights, In positions, Out dy, Out dweights) {
  const int64_t T = dout.rows(), D = dout.cols(), N = positions.size();
  if (T == 0) return;
  const dim3 grid{unsigned(pieces(N, kThreads / kWarp))};
  with_float_type(dout.dtype, [&](auto dout_type) {
    with_float_type(dy.dtype, [&](auto y_type) {
      using O = decltype(dout_type);
      using Y = decltype(y_type);
      const bool neighbours = by_fours(D, dout, dy) && (!dweights || by_fours(D, y));
      launch(exec, neighbours ? spread<true, O, Y> : spread<false, O, Y>, grid, kThreads, 0, dout.data<O>(), y.data<Y>(),
             weights.data<float>(), positions.data<int32_t>(), dy.data<Y>(), dweights.data<float>(), N, N / T, D, dy.rows(),
             exec.report(kComplaint));
    });
  });
}

}  // namespace mixwright::cuda
