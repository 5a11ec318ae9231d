// Bytes moved: x and y once; on AVX2 as much time goes into Philox. A task owns 16k elements.
#include "ops/dropout.h"

#include "cpu/drop.h"
#include "cpu/exec.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kChunk = 16384;
}

void dropout(Exec& exec, In x, Out y, float p, int64_t seed, int64_t stream) {
  require(x.dtype == y.dtype && x.size() == y.size(), "x and y differ in size or number format");
  const Drop drop(p, seed, stream);
  with_float_type(x.dtype, [&](auto type) {
    using E = decltype(type);
    exec.parallel_range(x.size(), kChunk, [&](int64_t begin, int64_t end) {
      drop.apply(begin, x.data<E>() + begin, y.data<E>() + begin, end - begin);
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
