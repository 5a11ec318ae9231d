// The CPU kernels of one instruction set, and the choice among those this binary holds.
#pragma once
#include <string>
#include <vector>

#include "cpu/exec.h"
#include "ops/table.h"

namespace mixwright::cpu {

struct Kernels {
#define MW_ROW(name) name##_signature<Exec>* name;
  MIXWRIGHT_OPS(MW_ROW)
#undef MW_ROW
};

namespace baseline { extern const Kernels kernels; }
namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }

struct IsaChoice {
  std::string name;
  const Kernels* kernels;
};

// The instruction sets this binary holds and this processor runs, best first. Never empty.
std::vector<IsaChoice> usable_isas();

}  // namespace mixwright::cpu
