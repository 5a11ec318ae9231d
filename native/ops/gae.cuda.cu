// Bytes moved: 16·T. A thread owns a segment: there are as many as texts in a batch, and each goes through its own one step
// after the other. The loads of a few steps are under way at once.
#include "ops/gae.h"

#include "cuda/offsets.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 32;

__global__ void __launch_bounds__(kWarp) check_kernel(const int32_t* offsets, int64_t D, int64_t rows, OffsetReports to) {
  check_offsets(offsets, D, rows, to);
}

__global__ void __launch_bounds__(kThreads)
    walk(const float* __restrict__ rewards, const float* __restrict__ values, const int32_t* __restrict__ offsets,
         const float* __restrict__ last_values, int64_t D, int64_t T, float* __restrict__ advantages,
         float* __restrict__ returns, double gamma, double lambda) {
  grid_stride(D, [&](int64_t d) {
    const int64_t begin = max(int64_t(offsets[d]), int64_t(0)), end = min(int64_t(offsets[d + 1]), T);
    double next = last_values ? last_values[d] : 0, advantage = 0;
#pragma unroll 4
    for (int64_t t = end - 1; t >= begin; t--) {
      const double value = values[t];
      advantage = rewards[t] + gamma * next - value + gamma * lambda * advantage;
      next = value;
      advantages[t] = float(advantage);
      returns[t] = float(advantage + value);
    }
  });
}
}  // namespace

void gae(Exec& exec, In rewards, In values, In offsets, In last_values, Out advantages, Out returns, double gamma,
         double lambda) {
  const int64_t D = offsets.size() - 1, T = rewards.size();
  const int32_t* const offset = offsets.data<int32_t>();
  launch(exec, check_kernel, dim3(1), kWarp, 0, offset, D, T, offset_reports(exec));
  launch(exec, walk, blocks_for(exec, D, kThreads), kThreads, 0, rewards.data<float>(), values.data<float>(), offset,
         last_values.data<float>(), D, T, advantages.data<float>(), returns.data<float>(), gamma, lambda);
}

}  // namespace mixwright::cuda
