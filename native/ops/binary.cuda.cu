// Bytes moved: each operand once. Threads walk the elements with a stride of the whole grid.
#include "ops/binary.h"

#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256;

__global__ void forward(const float* a, const float* b, float* y, int64_t count, Binary kind) {
  grid_stride(count, [&](int64_t i) { y[i] = binary_value(kind, a[i], b[i]); });
}

__global__ void backward(const float* dy, const float* a, const float* b, float* da, float* db, int64_t count, Binary kind) {
  grid_stride(count, [&](int64_t i) {
    if (da) da[i] = binary_gradient(kind, dy[i], a[i], b[i]);
    if (db) db[i] = binary_gradient(kind, dy[i], b[i], a[i]);
  });
}
}  // namespace

void binary(Exec& exec, In a, In b, Out y, int64_t kind) {
  launch(exec, forward, blocks_for(exec, y.size(), kThreads), kThreads, 0, a.data<float>(), b.data<float>(), y.data<float>(),
         y.size(), Binary(kind));
}

void binary_grad(Exec& exec, In dy, In a, In b, Out da, Out db, int64_t kind) {
  launch(exec, backward, blocks_for(exec, dy.size(), kThreads), kThreads, 0, dy.data<float>(), a.data<float>(), b.data<float>(),
         da.data<float>(), db.data<float>(), dy.size(), Binary(kind));
}

}  // namespace mixwright::cuda
