// Bytes moved: each operand once. A task owns 16k elements.
#include "ops/binary.h"

#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kGrain = 16384;
}

void binary(Exec& exec, In a, In b, Out y, int64_t kind) {
  const float *left = a.data<float>(), *right = b.data<float>();
  float* to = y.data<float>();
  exec.parallel_range(y.size(), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) to[i] = binary_value(Binary(kind), left[i], right[i]);
  });
}

void binary_grad(Exec& exec, In dy, In a, In b, Out da, Out db, int64_t kind) {
  const float *slope = dy.data<float>(), *left = a.data<float>(), *right = b.data<float>();
  exec.parallel_range(dy.size(), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; da && i < end; i++) {
      da.data<float>()[i] = binary_gradient(Binary(kind), slope[i], left[i], right[i]);
    }
    for (int64_t i = begin; db && i < end; i++) {
      db.data<float>()[i] = binary_gradient(Binary(kind), slope[i], right[i], left[i]);
    }
  });
}

}  // namespace mixwright::cpu::MW_ISA
