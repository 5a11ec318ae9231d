// Bytes moved: 20·N. One thread: a few nanoseconds a slot, against microseconds for its products.
#include "ops/sort_by_expert.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

void sort_by_expert(Exec& exec, In experts, Out offsets, Out slots, Out tokens, Out positions) {
  const int64_t E = offsets.size() - 1, K = experts.cols(), T = experts.rows();
  const int32_t* expert = experts.data<int32_t>();
  int32_t* offset = offsets.data<int32_t>();
  int32_t* next = exec.shared<int32_t>(E);  // where the next row of each expert goes

  for (int64_t e = 0; e <= E; e++) offset[e] = 0;
  for (int64_t slot = 0; slot < T * K; slot++) {
    if (expert[slot] < 0 || expert[slot] >= E) {
      fail("slot %lld holds expert %d, there are %lld", static_cast<long long>(slot), expert[slot],
           static_cast<long long>(E));
    }
    offset[expert[slot] + 1]++;
  }
  for (int64_t e = 0; e < E; e++) {
    next[e] = offset[e];
    offset[e + 1] += offset[e];
  }
  for (int64_t t = 0, slot = 0; t < T; t++) {
    for (int64_t k = 0; k < K; k++, slot++) {
      const int32_t position = next[expert[slot]]++;
      positions.data<int32_t>()[slot] = position;
      slots.data<int32_t>()[position] = int32_t(slot);
      tokens.data<int32_t>()[position] = int32_t(t);
    }
  }
}

}  // namespace mixwright::cpu::MW_ISA
