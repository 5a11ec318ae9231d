// Bytes moved: 16·T. A task owns 16 segments.
#include "ops/gae.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kSegments = 16;
}

void gae(Exec& exec, In rewards, In values, In offsets, In last_values, Out advantages, Out returns, double gamma,
         double lambda) {
  const int64_t D = offsets.size() - 1;
  const int32_t* offset = offsets.data<int32_t>();
  require_offsets(offset, D, rewards.size());
  exec.parallel_range(D, kSegments, [&](int64_t begin, int64_t end) {
    for (int64_t d = begin; d < end; d++) {
      double next = last_values ? last_values.data<float>()[d] : 0, advantage = 0;
      for (int64_t t = offset[d + 1] - 1; t >= offset[d]; t--) {
        const double value = values.data<float>()[t];
        advantage = rewards.data<float>()[t] + gamma * next - value + gamma * lambda * advantage;
        next = value;
        advantages.data<float>()[t] = float(advantage);
        returns.data<float>()[t] = float(advantage + value);
      }
    }
  });
}

}  // namespace mixwright::cpu::MW_ISA
