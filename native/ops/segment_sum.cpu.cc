// Bytes moved: 4·T. A task owns 16 segments: there are as many as documents in a batch.
#include "ops/segment_sum.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kSegments = 16;
}

void segment_sum(Exec& exec, In x, In offsets, Out y) {
  const int64_t D = y.size();
  const int32_t* offset = offsets.data<int32_t>();
  require_offsets(offset, D, x.size());
  exec.parallel_range(D, kSegments, [&](int64_t begin, int64_t end) {
    for (int64_t d = begin; d < end; d++) {
      double total = 0;
      for (int64_t t = offset[d]; t < offset[d + 1]; t++) total += x.data<float>()[t];
      y.data<float>()[d] = float(total);
    }
  });
}

void segment_sum_grad(Exec& exec, In dy, In offsets, Out dx, bool accumulate) {
  const int64_t D = dy.size();
  const int32_t* offset = offsets.data<int32_t>();
  require_offsets(offset, D, dx.size());
  exec.parallel_range(D, kSegments, [&](int64_t begin, int64_t end) {
    for (int64_t d = begin; d < end; d++) {
      const float value = dy.data<float>()[d];
      float* out = dx.data<float>();
      for (int64_t t = offset[d]; t < offset[d + 1]; t++) out[t] = accumulate ? out[t] + value : value;
    }
  });
}

}  // namespace mixwright::cpu::MW_ISA
