// Bytes moved: each operand once. A task owns 4096 elements; the C library's functions take longer than memory does.
#include "ops/unary.h"

#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kGrain = 4096;
}

void unary(Exec& exec, In x, Out y, int64_t kind, float lo, float hi) {
  const float* from = x.data<float>();
  float* to = y.data<float>();
  exec.parallel_range(y.size(), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) to[i] = unary_value(Unary(kind), from[i], lo, hi);
  });
}

void unary_grad(Exec& exec, In dy, In x, Out dx, int64_t kind, float lo, float hi) {
  const float *slope = dy.data<float>(), *from = x.data<float>();
  float* to = dx.data<float>();
  exec.parallel_range(dx.size(), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) to[i] = unary_gradient(Unary(kind), slope[i], from[i], lo, hi);
  });
}

}  // namespace mixwright::cpu::MW_ISA
