// Dropout of four elements by their number: that of dropout.h.
#pragma once
#include <cmath>
#include <string>

#include "core/philox.h"
#include "cuda/launch.h"

namespace mixwright::cuda {

struct Drop {
  uint64_t seed = 0, stream = 0;
  int32_t limit = 0;  // 0: nothing is dropped
  float scale = 1;

  Drop() = default;
  Drop(float p, int64_t from_seed, int64_t from_stream)
      : seed(uint64_t(from_seed)), stream(uint64_t(from_stream)), limit(int32_t(std::ceil(double(p) * 0x1p24))),
        scale(1.0f / (1.0f - p)) {
    if (!(p >= 0 && p < 1)) throw KernelError("p is " + std::to_string(p) + ", needed 0 <= p < 1");
  }

  // x[i] is element `first` + i.
  __device__ void apply(int64_t first, float (&x)[4]) const {
    keep(first, x);
#pragma unroll
    for (int i = 0; i < 4; i++) x[i] *= scale;
  }

  // Without the scale: elements become 0 or stay as they are.
  __device__ void keep(int64_t first, float (&x)[4]) const {
    const int ahead = int(first & 3);
    uint32_t words[8] = {};
    const PhiloxBlock block = philox(seed, stream, uint64_t(first) / 4);
    PhiloxBlock next = block;
    if (ahead > 0) next = philox(seed, stream, uint64_t(first) / 4 + 1);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      words[i] = block.v[i];
      words[4 + i] = next.v[i];
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {  // no index that isn't known when compiled: words stay in registers
      const uint32_t word = ahead < 2 ? (ahead == 0 ? words[i] : words[i + 1]) : (ahead == 2 ? words[i + 2] : words[i + 3]);
      x[i] = int32_t(word >> 8) >= limit ? x[i] : 0.0f;
    }
  }
};

}  // namespace mixwright::cuda
