// Bytes moved: 40·N: the sort, then one pass that turns its order round and finds where each expert begins by bisection.
#include "ops/sort_by_expert.h"

#include "cuda/stable_sort.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    finish(const int32_t* keys, const int32_t* slots, int64_t N, int64_t K, int64_t E, int32_t* offsets, int32_t* tokens,
           int32_t* positions) {
  grid_stride(max(N, E + 1), [&](int64_t i) {
    if (i < N) {
      tokens[i] = int32_t(slots[i] / int32_t(K));
      positions[slots[i]] = int32_t(i);
    }
    if (i > E) return;
    int64_t low = 0, high = N;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (keys[middle] < i) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    offsets[i] = int32_t(i == E ? N : low);
  });
}
}  // namespace

void sort_by_expert(Exec& exec, In experts, Out offsets, Out slots, Out tokens, Out positions) {
  const int64_t E = offsets.size() - 1, K = experts.cols(), N = experts.size();
  const Sorted sorted = stable_sort(exec, experts.data<int32_t>(), N, E, 0, "slot %lld holds expert %lld, there are %lld",
                                    slots.data<int32_t>());
  launch(exec, finish, blocks_for(exec, std::max(N, E + 1), kThreads), kThreads, 0, sorted.keys, sorted.order, N, K, E,
         offsets.data<int32_t>(), tokens.data<int32_t>(), positions.data<int32_t>());
}

}  // namespace mixwright::cuda
