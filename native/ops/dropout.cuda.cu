// Bytes moved: x and y once. A thread owns four elements, those of one Philox block.
#include "ops/dropout.h"

#include "cuda/drop.h"
#include "cuda/fours.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256;

template <class E>
__global__ __launch_bounds__(kThreads) void dropout_kernel(const E* x, E* y, int64_t count, Drop drop, bool aligned) {
  grid_stride((count + 3) / 4, [&](int64_t block) {
    const int64_t first = 4 * block;
    float v[4];
    widen_four(load_four(x + first, count - first, aligned), v);
    drop.apply(first, v);
    store_four(y + first, v, count - first, aligned);
  });
}
}  // namespace

void dropout(Exec& exec, In x, Out y, float p, int64_t seed, int64_t stream) {
  require(x.dtype == y.dtype && x.size() == y.size(), "x and y differ in size or number format");
  const Drop drop(p, seed, stream);
  with_float_type(x.dtype, [&](auto type) {
    using E = decltype(type);
    launch(exec, dropout_kernel<E>, blocks_for(exec, pieces(x.size(), 4), kThreads), kThreads, 0, x.data<E>(), y.data<E>(),
           x.size(), drop, by_fours(0, x, y));
  });
}

}  // namespace mixwright::cuda
