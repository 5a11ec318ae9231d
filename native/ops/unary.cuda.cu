// Bytes moved: each operand once. Threads walk the elements with a stride of the whole grid.
#include "ops/unary.h"

#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256;

__global__ void forward(const float* x, float* y, int64_t count, Unary kind, float lo, float hi) {
  grid_stride(count, [&](int64_t i) { y[i] = unary_value(kind, x[i], lo, hi); });
}

__global__ void backward(const float* dy, const float* x, float* dx, int64_t count, Unary kind, float lo, float hi) {
  grid_stride(count, [&](int64_t i) { dx[i] = unary_gradient(kind, dy[i], x[i], lo, hi); });
}
}  // namespace

void unary(Exec& exec, In x, Out y, int64_t kind, float lo, float hi) {
  const int64_t count = y.size();
  launch(exec, forward, blocks_for(exec, count, kThreads), kThreads, 0, x.data<float>(), y.data<float>(), count, Unary(kind),
         lo, hi);
}

void unary_grad(Exec& exec, In dy, In x, Out dx, int64_t kind, float lo, float hi) {
  const int64_t count = dx.size();
  launch(exec, backward, blocks_for(exec, count, kThreads), kThreads, 0, dy.data<float>(), x.data<float>(), dx.data<float>(),
         count, Unary(kind), lo, hi);
}

}  // namespace mixwright::cuda
