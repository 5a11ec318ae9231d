// One thread an element: a stand-in.
#include "ops/grouped_matmul.h"

#include "cuda/launch.h"
#include "cuda/tiles.h"

namespace mixwright::cuda {

namespace {
constexpr int kCheckThreads = 1024;

struct Groups {
  const int32_t *offsets, *first_tile;  // [E + 1] each
};

// Block 0 copies offsets that cut [0, R) into pieces, in order; others are reported, and then no expert has rows. And it counts
// the experts' tiles. The other blocks look at `rows`.
__global__ __launch_bounds__(kCheckThreads) void check_kernel(const int32_t* offsets, int64_t E, int64_t R, const int32_t* rows,
                                                              int64_t table, int64_t tile_rows, int32_t* clean,
                                                              int32_t* first_tile, Report bad_offset, Report bad_row) {
  const int thread = int(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  if (blockIdx.x > 0) {
    for (int64_t i = int64_t(blockIdx.x - 1) * kCheckThreads + thread; i < R; i += int64_t(gridDim.x - 1) * kCheckThreads) {
      if (rows[i] < 0 || rows[i] >= table) report(bad_row, i, rows[i], table);
    }
    return;
  }
  __shared__ int32_t first_bad, warps[kCheckThreads / kWarp];
  if (thread == 0) first_bad = INT32_MAX;
  __syncthreads();
  for (int64_t e = thread; e <= E; e += kCheckThreads) {
    const int64_t low = e == 0 ? 0 : offsets[e - 1], high = e == 0 ? 0 : R;
    if (offsets[e] < low || offsets[e] > high || (e == E && offsets[e] != R)) atomicMin(&first_bad, int32_t(e));
  }
  __syncthreads();
  const bool bad = first_bad != INT32_MAX;
  if (bad && thread == 0) report(bad_offset, first_bad, offsets[first_bad], R);
  int32_t before = 0;
  for (int64_t begin = 0; begin <= E; begin += kCheckThreads) {
    const int64_t e = begin + thread;
    int32_t sum = e < E && !bad ? int32_t(tiles_of(offsets[e + 1] - offsets[e], tile_rows)) : 0;
    const int32_t own = sum;
    for (int by = 1; by < kWarp; by *= 2) {
      const int32_t other = __shfl_up_sync(0xffffffffu, sum, unsigned(by));
      if (lane >= by) sum += other;
    }
    if (lane == kWarp - 1) warps[warp] = sum;
    __syncthreads();
    int32_t total = 0;
    for (int w = 0; w < kCheckThreads / kWarp; w++) {
      if (w < warp) sum += warps[w];
      total += warps[w];
    }
    if (e <= E) {
      clean[e] = bad ? 0 : offsets[e];
      first_tile[e] = before + sum - own;
    }
    before += total;
    __syncthreads();
  }
}

// What the experts' rows are, checked on the device. `table`: rows of x.
Groups checked_groups(Exec& exec, const In& offsets, const In& rows, int64_t table, int64_t E, int64_t R, int64_t tile_rows) {
  require(offsets.size() == E + 1, "offsets needs one entry more than there are experts");
  require(rows ? rows.size() == R : table >= R, rows ? "rows does not fit the sorted rows" : "x has too few rows");
  int32_t *const clean = exec.scratch<int32_t>(E + 1, 1), *const first_tile = exec.scratch<int32_t>(E + 1, 2);
  const int64_t looks = rows ? std::min<int64_t>(pieces(R, 4 * kCheckThreads), 64) : 0;
  launch(exec, check_kernel, dim3(unsigned(1 + looks)), kCheckThreads, 0, offsets.data<int32_t>(), E, R, rows.data<int32_t>(), table,
         tile_rows, clean, first_tile, exec.report("offset %lld is %lld, there are %lld sorted rows"),
         exec.report("row %lld holds index %lld, the table has %lld rows"));
  return {clean, first_tile};
}

template <class X, class W, class Y>
__global__ void product(const X* x, const W* w, Groups groups, const int32_t* rows, int64_t table, Y* y, int64_t E, int64_t R,
                        int64_t N, int64_t K, bool turn, float alpha, bool accumulate) {
  grid_stride(R * N, [&](int64_t at) {
    const int64_t i = at / N, n = at % N;
    int64_t e = 0;
    while (e < E && groups.offsets[e + 1] <= i) e++;
    const int64_t row = rows ? rows[i] : i;
    if (e == E || row < 0 || row >= table) return;
    float sum = 0;
    for (int64_t k = 0; k < K; k++) {
      sum += load_float(x + row * K + k) * load_float(w + e * N * K + (turn ? n * K + k : k * N + n));
    }
    store_float(y + at, accumulate ? alpha * sum + load_float(y + at) : alpha * sum);
  });
}

template <class X, class D, class W>
__global__ void weight_grad(const D* dy, const X* x, Groups groups, const int32_t* rows, int64_t table, W* dw, int64_t E, int64_t N,
                            int64_t K, float alpha, bool accumulate) {
  grid_stride(E * N * K, [&](int64_t at) {
    const int64_t e = at / (N * K), n = at / K % N, k = at % K;
    float sum = 0;
    for (int64_t i = groups.offsets[e]; i < groups.offsets[e + 1]; i++) {
      const int64_t row = rows ? rows[i] : i;
      if (row < 0 || row >= table) continue;
      sum += load_float(dy + i * N + n) * load_float(x + row * K + k);
    }
    store_float(dw + at, accumulate ? alpha * sum + load_float(dw + at) : alpha * sum);
  });
}
}  // namespace

void grouped_matmul(Exec& exec, In x, In weight, In offsets, In rows, Out y, bool transpose_weight, float alpha, bool accumulate) {
  if (y.size() == 0) return;
  const int64_t E = weight.dim[0], R = y.rows(), N = y.cols(), K = x.cols();
  require(weight.size() == E * N * K, "operands do not fit each other");
  const Groups groups = checked_groups(exec, offsets, rows, K == 0 ? R : x.rows(), E, R, 128);
  with_float_type(x.dtype, [&](auto xt) {
    with_float_type(weight.dtype, [&](auto wt) {
      with_float_type(y.dtype, [&](auto yt) {
        using X = decltype(xt);
        using W = decltype(wt);
        using Y = decltype(yt);
        launch(exec, product<X, W, Y>, blocks_for(exec, y.size(), 128), 128, 0, x.data<X>(), weight.data<W>(), groups,
               rows.data<int32_t>(), x.rows(), y.data<Y>(), E, R, N, K, transpose_weight, alpha, accumulate);
      });
    });
  });
}

void grouped_matmul_weight_grad(Exec& exec, In dy, In x, In offsets, In rows, Out dweight, float alpha, bool accumulate) {
  if (dweight.size() == 0) return;
  const int64_t E = dweight.dim[0], N = dweight.dim[1], K = dweight.dim[2], R = dy.rows();
  require(dy.cols() == N && x.cols() == K, "operands do not fit each other");
  const Groups groups = checked_groups(exec, offsets, rows, x.rows(), E, R, 128);
  with_float_type(x.dtype, [&](auto xt) {
    with_float_type(dy.dtype, [&](auto dt) {
      with_float_type(dweight.dtype, [&](auto wt) {
        using X = decltype(xt);
        using D = decltype(dt);
        using W = decltype(wt);
        launch(exec, weight_grad<X, D, W>, blocks_for(exec, dweight.size(), 128), 128, 0, dy.data<D>(), x.data<X>(), groups,
               rows.data<int32_t>(), x.rows(), dweight.data<W>(), E, N, K, alpha, accumulate);
      });
    });
  });
}

}  // namespace mixwright::cuda
