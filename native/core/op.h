// Declares an op once for every engine: MW_OP(name, (In x, Out y, float eps)) gives mixwright::cpu::<isa>::name for each
// instruction set the CPU engine is compiled for, and mixwright::cuda::name. The signature is also the binding: In, Out
// and lists become integer handles on the JavaScript side, numbers stay numbers.
#pragma once
#include <cstdint>

#include "core/tensor.h"

namespace mixwright {
namespace cpu {
class Exec;
}
namespace cuda {
class Exec;
}
}  // namespace mixwright

#define MW_UNPACK(...) __VA_ARGS__

#define MW_OP(name, params)                                                     \
  namespace mixwright {                                                         \
  template <class Exec>                                                         \
  using name##_signature = void(Exec&, MW_UNPACK params);                       \
  namespace cpu {                                                               \
  namespace baseline { name##_signature<Exec> name; }                           \
  namespace avx2 { name##_signature<Exec> name; }                               \
  namespace avx512 { name##_signature<Exec> name; }                             \
  }                                                                             \
  namespace cuda { name##_signature<Exec> name; }                               \
  }
