// Comparisons: N·log N. One thread.
#include "ops/argsort.h"

#include <algorithm>
#include <numeric>

#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

void argsort(Exec&, In x, Out order) {
  int32_t* const first = order.data<int32_t>();
  int32_t* const end = first + order.size();
  std::iota(first, end, 0);
  std::sort(first, end, [from = x.data<float>()](int32_t i, int32_t j) { return comes_before(from, i, j); });
}

}  // namespace mixwright::cpu::MW_ISA
