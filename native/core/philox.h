// Philox-4x32-10 (Salmon et al. 2011): random numbers as a pure function of (seed, stream, counter), so that any element can
// be drawn anywhere, in any order. Ten rounds, each of two 32x32->64 bit products.
#pragma once
#include <cstdint>

#include "core/dtype.h"

namespace mixwright {

constexpr int kPhiloxRounds = 10;
constexpr uint32_t kPhiloxA = 0xD2511F53u, kPhiloxB = 0xCD9E8D57u, kPhiloxStepA = 0x9E3779B9u, kPhiloxStepB = 0xBB67AE85u;

struct PhiloxBlock {
  uint32_t v[4];
};

// Key = seed; counter words = counter (low, high), stream (low, high). `static`: see dtype.h.
MW_ANYWHERE static inline PhiloxBlock philox(uint64_t seed, uint64_t stream, uint64_t counter) {
  uint32_t c0 = uint32_t(counter), c1 = uint32_t(counter >> 32), c2 = uint32_t(stream), c3 = uint32_t(stream >> 32);
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < kPhiloxRounds; round++) {
    const uint64_t a = uint64_t(kPhiloxA) * c0, b = uint64_t(kPhiloxB) * c2;
    c0 = uint32_t(b >> 32) ^ c1 ^ k0;
    c2 = uint32_t(a >> 32) ^ c3 ^ k1;
    c1 = uint32_t(b);
    c3 = uint32_t(a);
    k0 += kPhiloxStepA;
    k1 += kPhiloxStepB;
  }
  return {{c0, c1, c2, c3}};
}

// [0, 1) with 24 bits: every value is exact in float.
MW_ANYWHERE static inline float uniform01(uint32_t bits) { return float(bits >> 8) * 0x1p-24f; }

}  // namespace mixwright
