// MinHash's permutations: out[i] = min over shingles h of ((h·a[i] + b[i]) mod 2^64) mod (2^61 − 1), with 32 bits masked to them
// before the minimum. The product wraps first, as in datatrove, so this isn't a universal hash.
#pragma once
#include <cstddef>
#include <cstdint>

namespace mixwright::cpu {

using PermuteMin = void(const uint64_t* hashes, size_t count, const uint64_t* a, const uint64_t* b, size_t permutations, int bits,
                        uint64_t* out);

namespace baseline { PermuteMin permute_min; }
namespace avx2 { PermuteMin permute_min; }
namespace avx512 { PermuteMin permute_min; }

}  // namespace mixwright::cpu
