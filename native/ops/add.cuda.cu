// Bytes moved: each operand once. Threads walk the elements with a stride of the whole grid.
#include "ops/add.h"

#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256;

template <class A, class B, class Y>
__global__ void add_kernel(const A* a, const B* b, Y* y, int64_t count, float alpha, float beta) {
  grid_stride(count, [&](int64_t i) {
    const float own = alpha * load_float(a + i);
    store_float(y + i, b ? own + beta * load_float(b + i) : own);
  });
}

template <class T>
__global__ void fill_kernel(T* y, int64_t count, T value) {
  grid_stride(count, [&](int64_t i) { y[i] = value; });
}
template <class T>
__global__ void copy_kernel(const T* x, T* y, int64_t count) {
  grid_stride(count, [&](int64_t i) { y[i] = x[i]; });
}
}  // namespace

void add(Exec& exec, In a, In b, Out y, float alpha, float beta) {
  with_float_type(a.dtype, [&](auto a_type) {
    with_float_type(b ? b.dtype : a.dtype, [&](auto b_type) {
      with_float_type(y.dtype, [&](auto y_type) {
        using A = decltype(a_type);
        using B = decltype(b_type);
        using Y = decltype(y_type);
        launch(exec, add_kernel<A, B, Y>, blocks_for(exec, y.size(), kThreads), kThreads, 0, a.data<A>(), b.data<B>(), y.data<Y>(),
               y.size(), alpha, beta);
      });
    });
  });
}

void fill(Exec& exec, Out y, double value) {
  const dim3 blocks = blocks_for(exec, y.size(), kThreads);
  if (y.dtype == DType::i32) {
    return launch(exec, fill_kernel<int32_t>, blocks, kThreads, 0, y.data<int32_t>(), y.size(), int32_t(value));
  }
  with_float_type(y.dtype, [&](auto type) {
    narrow(float(value), type);
    using T = decltype(type);
    launch(exec, fill_kernel<T>, blocks, kThreads, 0, y.data<T>(), y.size(), type);
  });
}

void copy(Exec& exec, In x, Out y) {
  const dim3 blocks = blocks_for(exec, y.size(), kThreads);
  if (y.dtype == DType::bf16) {
    launch(exec, copy_kernel<uint16_t>, blocks, kThreads, 0, x.data<uint16_t>(), y.data<uint16_t>(), y.size());
  } else {
    launch(exec, copy_kernel<uint32_t>, blocks, kThreads, 0, x.data<uint32_t>(), y.data<uint32_t>(), y.size());
  }
}

}  // namespace mixwright::cuda
