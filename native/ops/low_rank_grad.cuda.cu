// Two passes over dy (cuda/narrow.h): one along its rows for dlow, one down its columns for all the rest. Bytes moved: 2·T·N
// elements of dy, T·N each of y and dv where they are wanted. In the second pass a block owns 64 columns of one part of the
// rows; the parts' sums, in scratch, are added in order. Where y says too little of v in every column (a bf16 y with a bias),
// x·weightᵀ is computed again by matmul, a chunk of rows at a time, and the low-rank share of Σ dy ⊙ v comes from dyᵀ·low:
//   Σ_t dy ⊙ v = Σ_t dy ⊙ (x·weightᵀ) + scale · Σ_j b ⊙ (dyᵀ·low)
// Where it does in single columns, a kernel computes v again for these.
#include "ops/low_rank_grad.h"

#include <algorithm>

#include "cuda/narrow.h"
#include "ops/matmul.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256, kColumns = 32;
// Below these factors y says too little of v: without a bias and with one.
constexpr float kSmall = 0x1p-60f, kSmallShifted = 0x1p-6f;

// factor = magnitude/norm, shift = bias, right = scale · factor ⊙ b.
__global__ void prepare_kernel(AnyFloats magnitude, const float* norm, AnyFloats bias, AnyFloats b, float scale, float* factor,
                               float* shift, float* right, int64_t N, int64_t r) {
  const auto factor_of = [&](int64_t n) {
    if (!norm) return 1.0f;
    return norm[n] == 0 ? 0.0f : magnitude.at(n) / norm[n];
  };
  grid_stride(N, [&](int64_t n) {
    factor[n] = factor_of(n);
    shift[n] = bias.memory ? bias.at(n) : 0.0f;
  });
  if (!right) return;
  grid_stride(N * r, [&](int64_t i) { right[i] = scale * factor_of(i / r) * b.at(i); });
}

// Writes dv, and adds up dy ⊙ (kept − shift) into `magnitudes`, [parts][cols].
template <class E, class Kept>
struct Look {
  static constexpr int kBlocks = 2;
  E* dv;
  const Kept* kept;
  const float *factor, *shift;
  float* magnitudes;
  int64_t cols;
  bool dv_aligned, kept_aligned;
  int64_t column = 0;
  int count = 0;
  float factors[4] = {}, shifts[4] = {}, sums[4] = {};
  decltype(fetch_four(kept, 0, true)) next[4] = {};

  __device__ void begin(int64_t from, int left) {
    column = from;
    count = blockIdx.z == 0 ? left : 0;  // further blocks see the same elements for other narrow columns
#pragma unroll
    for (int n = 0; n < 4; n++) {
      factors[n] = n < count ? factor[column + n] : 0.0f;
      shifts[n] = n < count && shift ? shift[column + n] : 0.0f;
      sums[n] = 0;
    }
  }
  __device__ void ahead(int p, int64_t row, bool inside) {
    if (kept) next[p] = fetch_four(kept + row * cols + column, inside ? count : 0, kept_aligned);
  }
  __device__ void see(int p, int64_t row, bool inside, const float (&v)[4]) {
    if (kept) {
      float was[4];
      widen_four(next[p], was);
#pragma unroll
      for (int n = 0; n < 4; n++) sums[n] += v[n] * (was[n] - shifts[n]);
    }
    if (dv && inside) {
      float scaled[4];
#pragma unroll
      for (int n = 0; n < 4; n++) scaled[n] = factors[n] * v[n];
      store_four(dv + row * cols + column, scaled, count, dv_aligned);
    }
  }
  __device__ void end(int64_t part, float* memory) {
    if (!kept || blockIdx.z != 0) return;
#pragma unroll
    for (int n = 0; n < 4; n++) memory[threadIdx.x * 4 + n] = sums[n];
    __syncthreads();
    const int64_t own = int64_t(blockIdx.x) * kNarrowTile + threadIdx.x;
    if (threadIdx.x >= kNarrowTile || own >= cols) return;
    float total = 0;
    for (int i = 0; i < kNarrowThreads * 4 / kNarrowTile; i++) total += memory[i * kNarrowTile + threadIdx.x];
    magnitudes[part * cols + own] = total;
  }
};

// Σ dy · v for the columns with a factor below `least`, part by part, with v computed again.
template <class E>
__global__ void __launch_bounds__(kThreads)
    again_kernel(const E* dy, AnyFloats x, AnyFloats weight, const float* low, AnyFloats b, const float* factor, float least,
                 float scale, int64_t T, int64_t N, int64_t K, int64_t r, int64_t length, float* magnitudes) {
  __shared__ float warps[33];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t begin = blockIdx.y * length, end = min(T, begin + length);
  const int64_t first = int64_t(blockIdx.x) * kColumns, last = min(N, first + kColumns);
  for (int64_t n = first; n < last; n++) {
    if (fabsf(factor[n]) >= least) continue;
    float total = 0;  // the same in all lanes
    for (int64_t t = begin + warp; t < end; t += kThreads / kWarp) {
      float v = 0, added = 0;
      for (int64_t k = lane; k < K; k += kWarp) v += x.at(t * K + k) * weight.at(n * K + k);
      for (int64_t j = lane; j < r; j += kWarp) added += low[t * r + j] * b.at(n * r + j);
      total += load_float(dy + t * N + n) * warp_sum(v + scale * added);
    }
    total = block_sum(lane == 0 ? total : 0.0f, warps);
    if (threadIdx.x == 0) magnitudes[blockIdx.y * N + n] = total;
  }
}

// A warp finishes a column: db, and dmagnitude. `sums` [parts][N][r] is dyᵀ·low.
__global__ void finish_kernel(const float* sums, const float* magnitudes, int64_t parts, AnyFloats b, const float* factor,
                              const float* norm, float least, float scale, int64_t N, int64_t r, float* db, bool accumulate_db,
                              float* dmagnitude, bool accumulate_dmagnitude, bool again) {
  const int lane = threadIdx.x % kWarp;
  const int64_t warps = int64_t(gridDim.x) * kThreads / kWarp;
  for (int64_t n = (int64_t(blockIdx.x) * kThreads + threadIdx.x) / kWarp; n < N; n += warps) {
    float added = 0;
    for (int64_t j = lane; sums && j < r; j += kWarp) {
      float total = 0;
#pragma unroll 4
      for (int64_t part = 0; part < parts; part++) total += sums[(part * N + n) * r + j];
      if (again) added += b.at(n * r + j) * total;
      total *= scale * factor[n];
      if (db) db[n * r + j] = accumulate_db ? total + db[n * r + j] : total;
    }
    if (!dmagnitude) continue;
    float total = 0;
    for (int64_t part = lane; part < parts; part += kWarp) total += magnitudes[part * N + n];
    total = warp_sum(total);
    if (again) {
      total += scale * warp_sum(added);
    } else if (fabsf(factor[n]) >= least) {
      total /= factor[n];
    }
    total = norm[n] == 0 ? 0.0f : total / norm[n];
    if (lane == 0) dmagnitude[n] = accumulate_dmagnitude ? total + dmagnitude[n] : total;
  }
}

template <class E, class Kept>
void look(Exec& exec, const E* dy, const float* low, float* sums, int64_t rows, int64_t N, int64_t r, Look<E, Kept> visit) {
  visit.cols = N;
  visit.dv_aligned = by_fours(visit.dv, sizeof(E), N);
  visit.kept_aligned = by_fours(visit.kept, sizeof(Kept), N);
  narrow_across(exec, Across<E>{dy, low, sums, rows, N, r, r, 1}, visit);
}
}  // namespace

void low_rank_grad(Exec& exec, In dy, In y, In x, In weight, In low, In b, In magnitude, In norm, In bias, Out dv, Out dlow,
                   Out db, bool accumulate_db, Out dmagnitude, bool accumulate_dmagnitude, float scale) {
  const int64_t T = dy.rows(), N = dy.cols(), r = b.cols();
  require(b.size() == N * r && low.size() == T * r && !magnitude == !norm && (magnitude || !(dv || dmagnitude)) &&
              (!dmagnitude || (x.rows() == T && weight && y.dtype == dy.dtype)) && (!dv || dv.dtype == dy.dtype),
          "operands do not fit each other");
  float* const factor = exec.scratch<float>(2 * N + (dlow ? N * r : 0), 4), *const shift = factor + N;
  float* const right = dlow ? shift + N : nullptr;
  const int64_t prepared = N * std::max<int64_t>(r, 1);
  launch(exec, prepare_kernel, blocks_for(exec, prepared, kThreads), kThreads, 0, magnitude, norm.data<float>(), bias, b, scale,
         factor, shift, right, N, r);
  if (dlow) {
    with_float_type(dy.dtype, [&](auto type) {
      using E = decltype(type);
      const AnyFloats by(right);
      narrow_down(exec, Down<E>{dy.data<E>(), by, dlow.data<float>(), 1, T, N, r, r, 1, 0, 0, 0, false, false, {}}, 5);
    });
  }
  if (!db && !dv && !dmagnitude) return;

  // A bias may drown v in a bf16 y at any factor.
  const bool again = dmagnitude && bias && y.dtype == DType::bf16 && T > 0;
  const int64_t chunk = again ? std::min(T, cached_rows(N)) : T;
  const int64_t whole = again ? T / chunk : 1, rest = again ? T % chunk : 0;
  const Parts of_chunk = across_parts(chunk, N);
  const int64_t parts = whole * of_chunk.count + (rest > 0 ? across_parts(rest, N).count : 0);
  const int64_t size = db || again ? N * r : 0;
  float* const sums = exec.scratch<float>(parts * (size + N), 6), *const magnitudes = sums + parts * size;
  const float least = bias ? kSmallShifted : kSmall;

  with_float_type(dy.dtype, [&](auto type) {
    using E = decltype(type);
    float* const products = size > 0 ? sums : nullptr;
    if (!again) {
      const Look<E, E> visit{dv.data<E>(), dmagnitude ? y.data<E>() : nullptr, factor, shift, magnitudes, N, false, false};
      look(exec, dy.data<E>(), low.data<float>(), products, T, N, r, visit);
      if (!dmagnitude) return;
      const dim3 grid(unsigned(pieces(N, kColumns)), unsigned(parts));
      launch(exec, again_kernel<E>, grid, kThreads, 0, dy.data<E>(), x, weight, low.data<float>(), b, factor, least, scale, T,
             N, x.cols(), r, of_chunk.length, magnitudes);
      return;
    }
    View base;
    base.memory = exec.scratch<float>(chunk * N, 5);
    base.rank = 2;
    base.dim[1] = N;
    for (int64_t row = 0, part = 0; row < T; row += chunk) {
      const int64_t rows = std::min(chunk, T - row);
      base.dim[0] = rows;
      matmul(exec, rows_of(x, row, rows), weight, In{}, Out{base}, false, true, 1.0f, false);
      const Look<E, float> visit{dv ? dv.data<E>() + row * N : nullptr, static_cast<const float*>(base.memory), factor, nullptr,
                                 magnitudes + part * N, N, false, false};
      float* const own = products ? products + part * size : nullptr;
      look(exec, dy.data<E>() + row * N, low.data<float>() + row * r, own, rows, N, r, visit);
      part += across_parts(rows, N).count;
    }
  });
  if (!db && !dmagnitude) return;
  launch(exec, finish_kernel, blocks_for(exec, N * kWarp, kThreads), kThreads, 0, size > 0 ? sums : nullptr, magnitudes, parts,
         b, factor, norm.data<float>(), least, scale, N, r, db.data<float>(), accumulate_db, dmagnitude.data<float>(),
         accumulate_dmagnitude, again);
}

}  // namespace mixwright::cuda
