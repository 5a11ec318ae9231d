// Philox words for a run of elements: element i of a random tensor takes word i % 4 of block i / 4.
#pragma once
#include <utility>

#include "core/philox.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

constexpr int64_t kDrawn = 256;  // words in one go, a multiple of 2 · kLanes

// A counter's word is the lower half of a 64-bit lane. What stands in the upper half doesn't matter.
typedef uint64_t vl __attribute__((vector_size(4 * MW_LANES)));

MW_INLINE vl product(vl a, vl b) {
#if defined(__AVX2__)  // GCC knows no other way to say that the upper halves don't count
  vl y;
  asm("vpmuludq %2, %1, %0" : "=v"(y) : "v"(a), "v"(b));
  return y;
#elif defined(__SSE2__)
  asm("pmuludq %1, %0" : "+x"(a) : "x"(b));
  return a;
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

// Stores words a, b, c, d of each counter.
template <int... I>
MW_INLINE void store_blocks(uint32_t* words, vl a, vl b, vl c, vl d, std::integer_sequence<int, I...>) {
  const vl front = (a & 0xffffffffu) | b << 32, back = (c & 0xffffffffu) | d << 32;
  constexpr int kHalf = sizeof...(I);  // lanes of a vl
  const vl first = __builtin_shufflevector(front, back, (I / 2 + I % 2 * kHalf)...);
  const vl second = __builtin_shufflevector(front, back, (kHalf / 2 + I / 2 + I % 2 * kHalf)...);
  std::memcpy(words, &first, sizeof first);
  std::memcpy(words + kLanes, &second, sizeof second);
}

// The words of elements [first, first + count), and up to 2 · kLanes - 1 more; `first` is a multiple of 4.
static inline void draw(int64_t seed, int64_t stream, int64_t first, int64_t count, uint32_t* words) {
  constexpr int kBlocks = kLanes / 2;  // in a vector
  vl counter;
  for (int i = 0; i < kBlocks; i++) counter[i] = uint64_t(first) / 4 + uint64_t(i);
  const vl a = vl{} + kPhiloxA, b = vl{} + kPhiloxB, low = vl{} + uint64_t(stream), high = low >> 32;
  for (int64_t n = 0; n < count; n += 2 * kLanes, counter += kBlocks) {
    vl c0 = counter, c1 = counter >> 32, c2 = low, c3 = high;
    uint32_t k0 = uint32_t(uint64_t(seed)), k1 = uint32_t(uint64_t(seed) >> 32);
    for (int round = 0; round < kPhiloxRounds; round++, k0 += kPhiloxStepA, k1 += kPhiloxStepB) {
      const vl x = product(c0, a), y = product(c2, b);
      c0 = (y >> 32) ^ c1 ^ k0;
      c2 = (x >> 32) ^ c3 ^ k1;
      c1 = y;
      c3 = x;
    }
    store_blocks(words + n, c0, c1, c2, c3, std::make_integer_sequence<int, kBlocks>{});
  }
}

}  // namespace mixwright::cpu::MW_ISA
