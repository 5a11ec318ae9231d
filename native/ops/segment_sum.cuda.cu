// Bytes moved: 4·T. A segment is cut into parts, as many as the shapes call for; a block owns a part, and a warp adds a
// segment's parts up. Sums run in a fixed order, that of 128 threads and not of the elements. Gradient: a thread an element.
#include "ops/segment_sum.h"

#include <algorithm>

#include "cuda/offsets.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 128, kPart = 4096, kMostParts = 1024;

__global__ void __launch_bounds__(kWarp) check_kernel(const int32_t* offsets, int64_t D, int64_t rows, OffsetReports to) {
  check_offsets(offsets, D, rows, to);
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
  launch(exec, check_kernel, dim3(1), kWarp, 0, offsets, D, rows, offset_reports(exec));
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
