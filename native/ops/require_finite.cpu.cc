// Bytes moved: x once. Serial: it is for losses and norms.
#include "ops/require_finite.h"

#include <cmath>

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

void require_finite(Exec&, In x) {
  with_float_type(x.dtype, [&](auto type) {
    for (int64_t i = 0; i < x.size(); i++) {
      const float value = widen(x.data<decltype(type)>()[i]);
      if (!std::isfinite(value)) fail("element %lld is %g, a finite number was needed", (long long)i, double(value));
    }
  });
}

}  // namespace mixwright::cpu::MW_ISA
