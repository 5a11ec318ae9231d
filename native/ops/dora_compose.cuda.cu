// Bytes moved: forward 2·R·N elements, backward 3·R·N, and R/32 · N sums. A block owns 32 rows of 512 columns, a thread four
// columns. The rows may belong to several experts: those of expert e in row block b form a segment, and its share of dmagnitude
// goes to slot b + e. From one segment to the next b, e or both grow, so no slot is taken twice. A second kernel adds an
// expert's slots in order: 32 columns a block, every eighth slot a warp.
#include "ops/dora_compose.h"

#include <algorithm>

#include "cuda/fours.h"
#include "cuda/offsets.h"

namespace mixwright::cuda {

namespace {
constexpr int kRows = 32, kThreads = 128, kColumns = 4 * kThreads, kAtOnce = 4, kAddThreads = 256;

// Whose rows are whose. Without offsets one expert has them all.
struct Experts {
  const int32_t* offsets;
  int64_t count, rows;
  OffsetReports reports;

  __device__ int64_t first(int64_t e) const { return offsets ? offsets[e] : 0; }
  __device__ int64_t end(int64_t e) const { return offsets ? offsets[e + 1] : rows; }
};

Experts experts_of(Exec& exec, In offsets, int64_t rows) {
  if (!offsets) return {nullptr, 1, rows, {}};
  return {offsets.data<int32_t>(), offsets.size() - 1, rows, offset_reports(exec)};
}

// The last expert that begins at or before `row`: its owner, where offsets are right, and an expert in any case.
__device__ int64_t expert_of(const Experts& of, int64_t row) {
  int64_t low = 0, high = of.count;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (of.first(middle) <= row ? low : high) = middle;
  }
  return low;
}

// y = magnitude/norm ⊙ x + bias; with `partials` also their slots of Σ x ⊙ v.
template <class X>
__global__ void __launch_bounds__(kThreads, 5)
    compose_kernel(const X* x, const X* v, AnyFloats magnitude, const float* norm, AnyFloats bias, const Experts experts, X* y,
                   float* partials, int64_t N, bool aligned) {
  if (experts.offsets && blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x < kWarp) {
    check_offsets(experts.offsets, experts.count, experts.rows, experts.reports);
  }
  const int64_t begin = int64_t(blockIdx.x) * kRows, end = min(experts.rows, begin + kRows);
  for (int64_t col = int64_t(blockIdx.y) * kColumns + 4 * threadIdx.x; col < N; col += int64_t(gridDim.y) * kColumns) {
    const int64_t count = N - col;
    float shift[4];
#pragma unroll
    for (int n = 0; n < 4; n++) shift[n] = bias.memory && n < count ? bias.at(col + n) : 0.0f;
    for (int64_t row = begin; row < end;) {
      const int64_t e = expert_of(experts, row), stop = e + 1 < experts.count ? min(end, max(experts.end(e), row + 1)) : end;
      float factor[4], sums[4] = {};
#pragma unroll
      for (int n = 0; n < 4; n++) {
        const float below = n < count ? norm[e * N + col + n] : 0.0f;
        factor[n] = below == 0 ? 0.0f : magnitude.at(e * N + col + n) / below;
      }
      for (; row < stop; row += kAtOnce) {
        const int rows = int(min(int64_t(kAtOnce), stop - row));
        Four<X> from[kAtOnce], kept[kAtOnce] = {};
#pragma unroll
        for (int i = 0; i < kAtOnce; i++) {
          const int64_t at = (row + i) * N + col;
          from[i] = load_four(x + at, i < rows ? count : 0, aligned);
          if (partials) kept[i] = load_four(v + at, i < rows ? count : 0, aligned);
        }
#pragma unroll
        for (int i = 0; i < kAtOnce; i++) {
          float own[4], was[4];
          widen_four(from[i], own);
          widen_four(kept[i], was);
#pragma unroll
          for (int n = 0; n < 4; n++) {
            sums[n] += own[n] * was[n];
            own[n] = factor[n] * own[n] + shift[n];
          }
          if (i < rows) store_four(y + (row + i) * N + col, own, count, aligned);
        }
      }
      row = stop;
      if (partials) store_four(partials + (int64_t(blockIdx.x) + e) * N + col, sums, count, N % 4 == 0);
    }
  }
}

// out (+)= (Σ of an expert's slots) / norm
template <class Y>
__global__ void __launch_bounds__(kAddThreads)
    add_slots_kernel(const float* partials, const Experts experts, const float* norm, Y* out, int64_t N, bool accumulate) {
  __shared__ float sums[kAddThreads];
  constexpr int kWarps = kAddThreads / kWarp;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t n = int64_t(blockIdx.x) * kWarp + lane;
  for (int64_t e = blockIdx.y; e < experts.count; e += gridDim.y) {
    const int64_t begin = max(experts.first(e), int64_t(0)), end = min(experts.end(e), experts.rows);
    float total = 0;
    if (n < N && begin < end) {
#pragma unroll 4
      for (int64_t b = begin / kRows + warp; b <= (end - 1) / kRows; b += kWarps) total += partials[(b + e) * N + n];
    }
    __syncthreads();
    sums[threadIdx.x] = total;
    __syncthreads();
    if (warp > 0 || n >= N) continue;
    for (int i = 1; i < kWarps; i++) total += sums[i * kWarp + lane];
    const float below = norm[e * N + n];
    total = below == 0 ? 0.0f : total / below;
    store_float(out + e * N + n, accumulate ? total + load_float(out + e * N + n) : total);
  }
}

template <class X>
void compose(Exec& exec, In x, In v, In magnitude, In norm, In bias, const Experts& experts, Out y, float* partials) {
  const int64_t N = y.cols();
  const int64_t blocks = std::max<int64_t>(pieces(experts.rows, kRows), 1);  // without rows, offsets are still looked at
  const dim3 grid(unsigned(blocks), unsigned(std::min<int64_t>(pieces(N, kColumns), 65535)));
  const bool aligned = by_fours(N, x, y, v);
  launch(exec, compose_kernel<X>, grid, kThreads, 0, x.data<X>(), v.data<X>(), magnitude, norm.data<float>(), bias, experts,
         y.data<X>(), partials, N, aligned);
}
}  // namespace

void dora_compose(Exec& exec, In v, In magnitude, In norm, In bias, In offsets, Out y) {
  const Experts experts = experts_of(exec, offsets, y.rows());
  with_float_type(v.dtype, [&](auto type) {
    compose<decltype(type)>(exec, v, In{}, magnitude, norm, bias, experts, y, nullptr);
  });
}

void dora_compose_grad(Exec& exec, In dy, In v, In magnitude, In norm, In offsets, Out dv, Out dmagnitude, bool accumulate) {
  const int64_t R = dv.rows(), N = dv.cols();
  const Experts experts = experts_of(exec, offsets, R);
  float* const partials = dmagnitude ? exec.scratch<float>((pieces(R, kRows) + experts.count) * N, 4) : nullptr;
  with_float_type(dv.dtype, [&](auto type) {
    compose<decltype(type)>(exec, dy, v, magnitude, norm, In{}, experts, dv, partials);
  });
  if (!dmagnitude) return;
  with_float_type(dmagnitude.dtype, [&](auto type) {
    using Y = decltype(type);
    const dim3 grid(unsigned(pieces(N, kWarp)), unsigned(std::min<int64_t>(experts.count, 65535)));
    launch(exec, add_slots_kernel<Y>, grid, kAddThreads, 0, partials, experts, norm.data<float>(), dmagnitude.data<Y>(), N,
           accumulate);
  });
}

}  // namespace mixwright::cuda
