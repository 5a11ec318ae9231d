// SHA-1 (FIPS 180-4), most of it for messages of one block: a shingle of five words is about 30 bytes long.
#include <cstring>

#include "text/hash.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mixwright::text {

namespace {

constexpr size_t kBlock = 64;
constexpr uint32_t kStart[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};

uint32_t rotate(uint32_t x, int by) { return x << by | x >> (32 - by); }

void portable_blocks(uint32_t state[5], const uint8_t* data, size_t blocks) {
  for (; blocks > 0; blocks--, data += kBlock) {
    uint32_t w[80];
    for (int t = 0; t < 16; t++) {
      std::memcpy(&w[t], data + 4 * t, 4);
      w[t] = __builtin_bswap32(w[t]);
    }
    for (int t = 16; t < 80; t++) w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int t = 0; t < 80; t++) {
      const uint32_t f = t < 20 ? (b & c) | (~b & d) : t < 40 || t >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
      const uint32_t k = t < 20 ? 0x5a827999u : t < 40 ? 0x6ed9eba1u : t < 60 ? 0x8f1bbcdcu : 0xca62c1d6u;
      const uint32_t next = rotate(a, 5) + f + e + k + w[t];
      e = d;
      d = c;
      c = rotate(b, 30);
      b = a;
      a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
  }
}

#if defined(__x86_64__)
// Four rounds an instruction; the message schedule of rounds 4·i+16 … is made while rounds 4·i … run.
template <int group>
__attribute__((target("sha,sse4.1,ssse3"), always_inline)) inline void four_rounds(__m128i& abcd, __m128i& e, __m128i w[4]) {
  __m128i& now = w[group % 4];
  const __m128i before = abcd;
  e = group == 0 ? _mm_add_epi32(e, now) : _mm_sha1nexte_epu32(e, now);
  abcd = _mm_sha1rnds4_epu32(abcd, e, group / 5);
  e = before;
  if constexpr (group < 16) {
    const __m128i mixed = _mm_xor_si128(_mm_sha1msg1_epu32(now, w[(group + 1) % 4]), w[(group + 2) % 4]);
    now = _mm_sha1msg2_epu32(mixed, w[(group + 3) % 4]);
  }
}

__attribute__((target("sha,sse4.1,ssse3"))) void x86_blocks(uint32_t state[5], const uint8_t* data, size_t blocks) {
  const __m128i reversed = _mm_set_epi64x(0x0001020304050607ll, 0x08090a0b0c0d0e0fll);
  __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state)), 0x1b);
  __m128i e = _mm_set_epi32(int(state[4]), 0, 0, 0);
  for (; blocks > 0; blocks--, data += kBlock) {
    const __m128i abcd_before = abcd, e_before = e;
    __m128i w[4];
    for (int i = 0; i < 4; i++) {
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data) + i), reversed);
    }
    four_rounds<0>(abcd, e, w);
    four_rounds<1>(abcd, e, w);
    four_rounds<2>(abcd, e, w);
    four_rounds<3>(abcd, e, w);
    four_rounds<4>(abcd, e, w);
    four_rounds<5>(abcd, e, w);
    four_rounds<6>(abcd, e, w);
    four_rounds<7>(abcd, e, w);
    four_rounds<8>(abcd, e, w);
    four_rounds<9>(abcd, e, w);
    four_rounds<10>(abcd, e, w);
    four_rounds<11>(abcd, e, w);
    four_rounds<12>(abcd, e, w);
    four_rounds<13>(abcd, e, w);
    four_rounds<14>(abcd, e, w);
    four_rounds<15>(abcd, e, w);
    four_rounds<16>(abcd, e, w);
    four_rounds<17>(abcd, e, w);
    four_rounds<18>(abcd, e, w);
    four_rounds<19>(abcd, e, w);
    e = _mm_sha1nexte_epu32(e, e_before);
    abcd = _mm_add_epi32(abcd, abcd_before);
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_shuffle_epi32(abcd, 0x1b));
  state[4] = uint32_t(_mm_extract_epi32(e, 3));
}
#endif

using Blocks = void (*)(uint32_t*, const uint8_t*, size_t);

#if defined(__x86_64__)
// CPUID leaf 7: GCC 12 has no name for this feature in __builtin_cpu_supports.
bool has_sha() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("sse4.1")) return false;
  unsigned a = 7, b = 0, c = 0, d = 0;
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return b >> 29 & 1;
}
const Blocks kBest = has_sha() ? x86_blocks : portable_blocks;
#else
const Blocks kBest = portable_blocks;
#endif

uint64_t digest(Blocks blocks, const void* data, size_t bytes) {
  uint32_t state[5];
  std::memcpy(state, kStart, sizeof state);
  const uint8_t* at = static_cast<const uint8_t*>(data);
  const size_t whole = bytes / kBlock, rest = bytes % kBlock;
  if (whole > 0) blocks(state, at, whole);
  uint8_t last[2 * kBlock] = {};
  std::memcpy(last, at + whole * kBlock, rest);
  last[rest] = 0x80;
  const size_t count = rest < kBlock - 8 ? 1 : 2;
  const uint64_t bits = __builtin_bswap64(uint64_t(bytes) * 8);
  std::memcpy(last + count * kBlock - 8, &bits, 8);
  blocks(state, last, count);
  return uint64_t(__builtin_bswap32(state[1])) << 32 | __builtin_bswap32(state[0]);
}

}  // namespace

uint64_t sha1_64(const void* data, size_t bytes) { return digest(kBest, data, bytes); }
uint64_t sha1_64_portable(const void* data, size_t bytes) { return digest(portable_blocks, data, bytes); }

}  // namespace mixwright::text
