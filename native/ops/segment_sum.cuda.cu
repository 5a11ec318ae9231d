// Bytes moved: 4·T. A segment is cut into parts, as many as the shapes call for; a block owns a part, and a warp adds a
// segment's parts up. Sums run in a fixed order, that of 128 threads and not of the elements. Gradient: a thread an element.
#include "ops/segment_sum.h"

#include <algorithm>

#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 128, kPart = 4096, kMostParts = 1024;

struct Complaints {
  Report begin, fall, end;
};

// As require_offsets does.
__global__ void __launch_bounds__(kThreads) check_offsets(const int32_t* offsets, int64_t D, int64_t rows, Complaints to) {
  grid_stride(D + 1, [&](int64_t i) {
    if (i == 0 && offsets[0] != 0) report(to.begin, offsets[0]);
    if (i < D && offsets[i + 1] < offsets[i]) report(to.fall, offsets[i], offsets[i + 1], i + 1);
    if (i == D && offsets[D] != rows) report(to.end, offsets[D], rows);
  });
}

__global__ void __launch_bounds__(kThreads) sum_parts(const float* x, const int32_t* offsets, int64_t T, unsigned parts,
                                                      double* sums) {
  __shared__ double warps[33];
  const int64_t d = blockIdx.x / parts, part = blockIdx.x % parts;
  const int64_t first = min(max(int64_t(offsets[d]), int64_t(0)), T), last = min(int64_t(offsets[d + 1]), T);
  const int64_t size = (max(last - first, int64_t(0)) + parts - 1) / parts;
  const int64_t begin = first + part * size, end = min(begin + size, last);
  double sum = 0;
#pragma unroll 4
  for (int64_t t = begin + threadIdx.x; t < end; t += kThreads) sum += x[t];
  sum = block_sum(sum, warps);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads) add_parts(const double* sums, int64_t D, int64_t parts, float* y) {
  const int64_t d = (int64_t(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  if (d >= D) return;
  double sum = 0;
  for (int64_t part = threadIdx.x % kWarp; part < parts; part += kWarp) sum += sums[d * parts + part];
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) y[d] = float(sum);
}

__global__ void __launch_bounds__(kThreads) spread(const float* dy, const int32_t* offsets, int64_t D, float* dx, int64_t T,
                                                   bool accumulate) {
  grid_stride(T, [&](int64_t t) {
    int64_t low = 0, high = D;  // the last segment that begins at or before t
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      if (offsets[middle] <= t) {
        low = middle;
      } else {
        high = middle;
      }
    }
    dx[t] = accumulate ? dx[t] + dy[low] : dy[low];
  });
}

void check(Exec& exec, const int32_t* offsets, int64_t D, int64_t rows) {
  const Complaints to{exec.report("offsets begin at %lld, needed 0"),
                      exec.report("offsets fall from %lld to %lld at entry %lld"),
                      exec.report("offsets end at %lld, there are %lld rows")};
  launch(exec, check_offsets, blocks_for(exec, D + 1, kThreads), kThreads, 0, offsets, D, rows, to);
}
}  // namespace

void segment_sum(Exec& exec, In x, In offsets, Out y) {
  const int64_t D = y.size(), T = x.size();
  check(exec, offsets.data<int32_t>(), D, T);
  if (D == 0) return;
  const auto parts = unsigned(std::min<int64_t>(std::max<int64_t>(pieces(T, D * kPart), 1), kMostParts));
  double* const sums = exec.scratch<double>(D * parts);
  launch(exec, sum_parts, dim3(unsigned(D * parts)), kThreads, 0, x.data<float>(), offsets.data<int32_t>(), T, parts, sums);
  launch(exec, add_parts, dim3(unsigned(pieces(D, kThreads / kWarp))), kThreads, 0, sums, D, parts, y.data<float>());
}

void segment_sum_grad(Exec& exec, In dy, In offsets, Out dx, bool accumulate) {
  const int64_t D = dy.size(), T = dx.size();
  check(exec, offsets.data<int32_t>(), D, T);
  if (D == 0) return;
  launch(exec, spread, blocks_for(exec, T, kThreads), kThreads, 0, dy.data<float>(), offsets.data<int32_t>(), D,
         dx.data<float>(), T, accumulate);
}

}  // namespace mixwright::cuda
