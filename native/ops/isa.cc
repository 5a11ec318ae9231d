#include "ops/kernels.h"

namespace mixwright::cpu {

std::vector<IsaChoice> usable_isas() {
  std::vector<IsaChoice> found;
#if defined(MW_HAS_X86)
  __builtin_cpu_init();
  const bool has_avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    found.push_back({"avx512", &avx512::kernels});
  }
  if (has_avx2) found.push_back({"avx2", &avx2::kernels});
#endif
  found.push_back({"baseline", &baseline::kernels});
  return found;
}

}  // namespace mixwright::cpu
