// A block of permutations keeps its factors and its minima in registers while all shingles pass: 8 bytes are read a shingle and
// block, and a product, a reduction and a minimum made a permutation. AVX-512 multiplies 64 bits at once; the others in parts.
#include "text/permute.h"

#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {

typedef uint64_t wide __attribute__((vector_size(4 * MW_LANES)));
typedef int64_t wide_signed __attribute__((vector_size(4 * MW_LANES)));
constexpr int kWide = kLanes / 2;
constexpr int kVectors = MW_LANES == 16 ? 4 : 2;  // a block
constexpr int kBlock = kVectors * kWide;
constexpr uint64_t kPrime = (uint64_t(1) << 61) - 1;

// x mod (2^61 − 1): 2^61 leaves 1, so the upper three bits are added to the lower ones, which is at most kPrime + 7.
MW_INLINE wide reduce(wide x) {
  const wide folded = (x & kPrime) + (x >> 61);
  const wide_signed less = wide_signed(folded) - int64_t(kPrime);
  return less < 0 ? folded : wide(less);
}

// Both are below 2^61.
MW_INLINE wide smaller(wide x, wide y) { return wide_signed(x) < wide_signed(y) ? x : y; }

template <bool masked>
void block(const uint64_t* hashes, size_t count, const uint64_t* a, const uint64_t* b, uint64_t* out) {
  wide factor[kVectors], shift[kVectors], least[kVectors];
  for (int v = 0; v < kVectors; v++) {
    std::memcpy(&factor[v], a + v * kWide, sizeof(wide));
    std::memcpy(&shift[v], b + v * kWide, sizeof(wide));
    least[v] = wide{} + kPrime;
  }
  for (size_t i = 0; i < count; i++) {
    const wide hash = wide{} + hashes[i];
    for (int v = 0; v < kVectors; v++) {
      wide value = reduce(hash * factor[v] + shift[v]);
      if (masked) value &= 0xffffffffu;
      least[v] = smaller(least[v], value);
    }
  }
  std::memcpy(out, least, sizeof least);
}

}  // namespace

void permute_min(const uint64_t* hashes, size_t count, const uint64_t* a, const uint64_t* b, size_t permutations, int bits,
                 uint64_t* out) {
  const auto run = bits == 32 ? block<true> : block<false>;
  size_t first = 0;
  for (; first + kBlock <= permutations; first += kBlock) run(hashes, count, a + first, b + first, out + first);
  const size_t rest = permutations - first;
  if (rest == 0) return;
  uint64_t last_a[kBlock] = {}, last_b[kBlock] = {}, last_out[kBlock];
  std::memcpy(last_a, a + first, rest * sizeof *a);
  std::memcpy(last_b, b + first, rest * sizeof *b);
  run(hashes, count, last_a, last_b, last_out);
  std::memcpy(out + first, last_out, rest * sizeof *out);
}

}  // namespace mixwright::cpu::MW_ISA
