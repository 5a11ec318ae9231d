// Bytes moved: x once. One block, which finds the first bad element: it is for losses and norms.
#include "ops/require_finite.h"

#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256;

// A report carries whole numbers, so that each value that isn't finite has a message of its own.
struct Reports {
  Report inf, minus_inf, nan, minus_nan;
};

template <class X>
__global__ __launch_bounds__(kThreads) void find_bad(const X* x, int64_t count, Reports to) {
  __shared__ long long warps[33];
  long long first = count;
  for (int64_t i = threadIdx.x; i < count && first == count; i += kThreads) {
    if (!isfinite(load_float(x + i))) first = i;
  }
  first = block_combine(first, warps, (long long)count, [](long long v) {
    for (int offset = 16; offset > 0; offset /= 2) v = min(v, __shfl_xor_sync(0xffffffffu, v, offset));
    return v;
  });
  if (threadIdx.x != 0 || first == count) return;
  const float value = load_float(x + first);
  const bool negative = __float_as_uint(value) >> 31;
  const int64_t nan = negative ? to.minus_nan.id : to.nan.id, inf = negative ? to.minus_inf.id : to.inf.id;
  report({to.nan.fault, isnan(value) ? nan : inf}, first);
}
}  // namespace

void require_finite(Exec& exec, In x) {
  if (x.size() == 0) return;
  const Reports to{exec.report("element %lld is inf, a finite number was needed"),
                   exec.report("element %lld is -inf, a finite number was needed"),
                   exec.report("element %lld is nan, a finite number was needed"),
                   exec.report("element %lld is -nan, a finite number was needed")};
  with_float_type(x.dtype, [&](auto type) {
    using X = decltype(type);
    launch(exec, find_bad<X>, dim3(1), kThreads, 0, x.data<X>(), x.size(), to);
  });
}

}  // namespace mixwright::cuda
