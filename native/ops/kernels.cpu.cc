#include "ops/kernels.h"

#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

const Kernels kernels = {
#define MW_ROW(name) MW_ISA::name,
    MIXWRIGHT_OPS(MW_ROW)
#undef MW_ROW
};

}  // namespace mixwright::cpu::MW_ISA
