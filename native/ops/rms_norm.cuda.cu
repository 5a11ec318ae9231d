// Bytes moved: forward 2·T·D elements, backward 3·T·D (a row is read again from the caches), and partial sums of dweight.
// A warp or a block owns a row. Backward, a block owns a run of rows and sums their share of dweight in shared memory, where
// each thread keeps to its own columns; a second kernel adds up the blocks.
#include "ops/rms_norm.h"

#include "cuda/rows.h"

namespace mixwright::cuda {

namespace {
constexpr int64_t kLeastRows = 8;      // of a block, backward
constexpr int64_t kMostPartials = 1024;  // long batches give blocks more rows instead
constexpr int kSumWarps = 32;

template <int kWidth, class E, class W>
__global__ void __launch_bounds__(kRowThreads) forward(const E* __restrict__ x, const W* __restrict__ weight, E* y, float* rstd,
                                                       int64_t T, int64_t D, int group, float eps) {
  __shared__ float warps[33];
  for_rows(T, group, [&](int64_t t) {
    const E* const from = x + t * D;
    E* const to = y + t * D;
    float squares = 0;
    for_columns<kWidth>(D, group, [&](int i) {
      const Floats<kWidth> v = load_floats<kWidth>(from + i);
      for (int k = 0; k < kWidth; k++) squares += v.at[k] * v.at[k];
    });
    const float r = 1.0f / sqrtf(row_sum(squares, group, warps) / float(D) + eps);
    if (threadIdx.x % group == 0) rstd[t] = r;
    for_columns<kWidth>(D, group, [&](int i) {
      Floats<kWidth> v = load_floats<kWidth>(from + i);
      const Floats<kWidth> w = load_floats<kWidth>(weight + i);
      for (int k = 0; k < kWidth; k++) v.at[k] = v.at[k] * r * w.at[k];
      store_floats(to + i, v);
    });
  });
}

// partials [blocks, D], or null. Without `in_shared` a block is one group and sums where the result belongs.
template <int kWidth, class E, class W>
__global__ void __launch_bounds__(kRowThreads) backward(const E* __restrict__ dy, const E* __restrict__ x,
                                                        const W* __restrict__ weight, const float* rstd, E* dx,
                                                        float* partials, int64_t T, int64_t D, int64_t rows, int group,
                                                        bool in_shared, bool accumulate) {
  MW_SHARED(float, tile);  // [groups, D]
  __shared__ float warps[33];
  const int own = threadIdx.x / group, groups = kRowThreads / group;
  float* const result = partials ? partials + blockIdx.x * D : nullptr;
  float* const sums = partials && in_shared ? tile + own * D : result;
  if (sums) {
    for_columns<kWidth>(D, group, [&](int i) { store_floats(sums + i, Floats<kWidth>{}); });
  }
  const int64_t begin = blockIdx.x * rows, end = begin + rows < T ? begin + rows : T;
  for (int64_t t = begin + own; t < end; t += groups) {
    const E *const dy_row = dy + t * D, *const x_row = x + t * D;
    const float r = rstd[t];
    float scale = 0;
    if (dx) {
      float dot = 0;
      for_columns<kWidth>(D, group, [&](int i) {
        const Floats<kWidth> d = load_floats<kWidth>(dy_row + i), v = load_floats<kWidth>(x_row + i);
        const Floats<kWidth> w = load_floats<kWidth>(weight + i);
        for (int k = 0; k < kWidth; k++) dot += d.at[k] * w.at[k] * v.at[k];
      });
      scale = r * r * row_sum(dot, group, warps) / float(D);
    }
    for_columns<kWidth>(D, group, [&](int i) {
      const Floats<kWidth> d = load_floats<kWidth>(dy_row + i), v = load_floats<kWidth>(x_row + i);
      if (sums) {
        Floats<kWidth> sum = load_floats<kWidth>(sums + i);
        for (int k = 0; k < kWidth; k++) sum.at[k] += d.at[k] * v.at[k] * r;
        store_floats(sums + i, sum);
      }
      if (!dx) return;
      const Floats<kWidth> w = load_floats<kWidth>(weight + i);
      Floats<kWidth> out;
      for (int k = 0; k < kWidth; k++) out.at[k] = (d.at[k] * w.at[k] - v.at[k] * scale) * r;
      if (accumulate) {
        const Floats<kWidth> old = load_floats<kWidth>(dx + t * D + i);
        for (int k = 0; k < kWidth; k++) out.at[k] += old.at[k];
      }
      store_floats(dx + t * D + i, out);
    });
  }
  if (sums == result) return;
  __syncthreads();
  for (int64_t i = threadIdx.x; i < D; i += kRowThreads) {
    float total = 0;
    for (int g = 0; g < groups; g++) total += tile[g * D + i];
    result[i] = total;
  }
}

// A block owns 32 columns; its warps share out the rows of `partials`, and are added up in their order.
__global__ void __launch_bounds__(kSumWarps* kWarp) sum_partials(const float* partials, float* y, int64_t rows, int64_t D,
                                                                 bool accumulate) {
  __shared__ float tile[kSumWarps][kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t column = int64_t(blockIdx.x) * kWarp + lane;
  float sum = 0;
  if (column < D) {
#pragma unroll 8
    for (int64_t row = warp; row < rows; row += kSumWarps) sum += partials[row * D + column];
  }
  tile[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || column >= D) return;
  float total = 0;
  for (int w = 0; w < kSumWarps; w++) total += tile[w][lane];
  y[column] = accumulate ? total + y[column] : total;
}
}  // namespace

void rms_norm(Exec& exec, In x, In weight, Out y, Out rstd, float eps) {
  const int64_t D = weight.size(), T = D == 0 ? 0 : x.size() / D;
  const int group = row_group(D);
  with_float_type(x.dtype, [&](auto x_type) {
    with_float_type(weight.dtype, [&](auto weight_type) {
      using E = decltype(x_type);
      using W = decltype(weight_type);
      with_width(D, [&](auto width) {
        launch(exec, forward<decltype(width)::value, E, W>, row_blocks(exec, T, group), kRowThreads, 0, x.data<E>(),
               weight.data<W>(), y.data<E>(), rstd.data<float>(), T, D, group, eps);
      }, x, weight, y);
    });
  });
}

void rms_norm_grad(Exec& exec, In dy, In x, In weight, In rstd, Out dx, Out dweight, bool accumulate_dx,
                   bool accumulate_dweight) {
  const int64_t D = weight.size(), T = D == 0 ? 0 : x.size() / D;
  const int64_t rows = pieces(T, kMostPartials) > kLeastRows ? pieces(T, kMostPartials) : kLeastRows, blocks = pieces(T, rows);
  const int group = row_group(D);
  const int64_t tile = dweight ? kRowThreads / group * D * int64_t(sizeof(float)) : 0;
  const bool in_shared = tile <= 64 << 10;  // three blocks of a multiprocessor, at least
  float* const partials = dweight ? exec.scratch<float>(blocks * D) : nullptr;
  with_float_type(x.dtype, [&](auto x_type) {
    with_float_type(weight.dtype, [&](auto weight_type) {
      using E = decltype(x_type);
      using W = decltype(weight_type);
      with_width(D, [&](auto width) {
        launch(exec, backward<decltype(width)::value, E, W>, dim3(unsigned(blocks)), kRowThreads, in_shared ? tile : 0,
               dy.data<E>(), x.data<E>(), weight.data<W>(), rstd.data<float>(), dx.data<E>(), partials, T, D, rows, group,
               in_shared, accumulate_dx);
      }, dy, x, weight, dx);
    });
  });
  if (!dweight) return;
  launch(exec, sum_partials, dim3(unsigned(pieces(D, kWarp))), kSumWarps * kWarp, 0, partials, dweight.data<float>(), blocks, D,
         accumulate_dweight);
}

}  // namespace mixwright::cuda
