// Bytes moved: copy 8·n, triad 12·n, read 4·n. fma_peak: a thread owns an element of y, so that a whole device takes some
// hundred thousand of them. Streams go four elements at a time where the operands are aligned to it.
#include "ops/ceiling.h"

#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256;
constexpr int64_t kGrain = 16384;
constexpr int kChains = 10;  // four cycles of latency and several warps a scheduler: more than enough

bool in_fours(const View& x) { return reinterpret_cast<uintptr_t>(x.memory) % sizeof(float4) == 0; }

__global__ __launch_bounds__(kThreads) void fma_kernel(float* y, int64_t count, int64_t rounds) {
  grid_stride(count, [&](int64_t task) {
    float chain[kChains];
#pragma unroll
    for (int i = 0; i < kChains; i++) chain[i] = float(i + 2);
    for (int64_t round = 0; round < rounds; round++) {
#pragma unroll
      for (int i = 0; i < kChains; i++) chain[i] = fmaf(chain[i], 0.999f, 0.001f);
    }
    float total = 0;
#pragma unroll
    for (int i = 0; i < kChains; i++) total += chain[i];
    y[task] = total;
  });
}

// body(i) for each of `count` elements, or with kFours body of four at once, then of the rest.
template <bool kFours, class Four, class One>
__device__ inline void stream(int64_t count, const Four& four, const One& one) {
  const int64_t fours = kFours ? count / 4 : 0;
  grid_stride(fours, four);
  grid_stride(count - 4 * fours, [&](int64_t i) { one(4 * fours + i); });
}

template <bool kFours>
__global__ __launch_bounds__(kThreads) void copy_kernel(const float* a, float* c, int64_t count) {
  stream<kFours>(
      count, [&](int64_t i) { reinterpret_cast<float4*>(c)[i] = reinterpret_cast<const float4*>(a)[i]; },
      [&](int64_t i) { c[i] = a[i]; });
}

template <bool kFours>
__global__ __launch_bounds__(kThreads) void triad_kernel(const float* a, const float* b, float* c, int64_t count) {
  stream<kFours>(
      count,
      [&](int64_t i) {
        const float4 x = reinterpret_cast<const float4*>(a)[i], y = reinterpret_cast<const float4*>(b)[i];
        reinterpret_cast<float4*>(c)[i] = make_float4(x.x + 3 * y.x, x.y + 3 * y.y, x.z + 3 * y.z, x.w + 3 * y.w);
      },
      [&](int64_t i) { c[i] = a[i] + 3 * b[i]; });
}

// A block owns a sum.
template <bool kFours>
__global__ __launch_bounds__(kThreads) void read_kernel(const float* a, float* y, int64_t count) {
  __shared__ float warps[33];
  const int64_t begin = blockIdx.x * kGrain, n = min(kGrain, count - begin);
  const int fours = kFours ? int(n / 4) : 0;
  float total = 0;
#pragma unroll 4
  for (int i = threadIdx.x; i < fours; i += kThreads) {
    const float4 x = reinterpret_cast<const float4*>(a + begin)[i];
    total += (x.x + x.y) + (x.z + x.w);
  }
  for (int64_t i = 4 * fours + threadIdx.x; i < n; i += kThreads) total += a[begin + i];
  total = block_sum(total, warps);
  if (threadIdx.x == 0) y[blockIdx.x] = total;
}
}  // namespace

void fma_peak(Exec& exec, Out y, int64_t flops) {
  launch(exec, fma_kernel, blocks_for(exec, y.size(), kThreads), kThreads, 0, y.data<float>(), y.size(), flops / (2 * kChains));
}

void stream_copy(Exec& exec, In a, Out c) {
  launch(exec, in_fours(a) && in_fours(c) ? copy_kernel<true> : copy_kernel<false>,
         blocks_for(exec, pieces(c.size(), 4), kThreads), kThreads, 0, a.data<float>(), c.data<float>(), c.size());
}

void stream_triad(Exec& exec, In a, In b, Out c) {
  launch(exec, in_fours(a) && in_fours(b) && in_fours(c) ? triad_kernel<true> : triad_kernel<false>,
         blocks_for(exec, pieces(c.size(), 4), kThreads), kThreads, 0, a.data<float>(), b.data<float>(), c.data<float>(),
         c.size());
}

void stream_read(Exec& exec, In a, Out y) {
  require(y.size() * kGrain >= a.size(), "stream_read takes one sum for each 16384 elements");
  launch(exec, in_fours(a) ? read_kernel<true> : read_kernel<false>, dim3(unsigned(pieces(a.size(), kGrain))), kThreads, 0,
         a.data<float>(), y.data<float>(), a.size());
}

}  // namespace mixwright::cuda
