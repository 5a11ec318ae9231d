// Comparisons: N². A thread owns an element and counts those that come before it: that is its place. All threads read the
// same element at a time, from the cache.
#include "ops/argsort.h"

#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads) rank(const float* __restrict__ x, int64_t count, int32_t* __restrict__ order) {
  grid_stride(count, [&](int64_t i) {
    int32_t place = 0;
#pragma unroll 8
    for (int64_t j = 0; j < count; j++) place += comes_before(x, j, i);
    order[place] = int32_t(i);
  });
}
}  // namespace

void argsort(Exec& exec, In x, Out order) {
  const int64_t count = order.size();
  launch(exec, rank, blocks_for(exec, count, kThreads), kThreads, 0, x.data<float>(), count, order.data<int32_t>());
}

}  // namespace mixwright::cuda
