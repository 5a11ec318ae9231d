// Philox words for a run of elements: element i of a random tensor takes word i % 4 of block i / 4.
#pragma once
#include "core/philox.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

constexpr int64_t kDrawn = 256;  // words in one go

// The words of elements [first, first + kDrawn); `first` is a multiple of 4.
static inline void draw(int64_t seed, int64_t stream, int64_t first, uint32_t* words) {
  for (int64_t b = 0; b < kDrawn / 4; b++) {
    const PhiloxBlock block = philox(uint64_t(seed), uint64_t(stream), uint64_t(first / 4 + b));
    std::memcpy(words + 4 * b, block.v, sizeof block.v);
  }
}

}  // namespace mixwright::cpu::MW_ISA
