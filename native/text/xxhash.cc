// xxHash, after its specification: four lanes over stripes, then what remains, then a last mixing.
#include <cstring>

#include "text/hash.h"

namespace mixwright::text {

namespace {

template <class Word>
Word rotate(Word x, int by) {
  return x << by | x >> (int(8 * sizeof x) - by);
}

template <class Word>
Word read(const uint8_t* p) {
  Word word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

constexpr uint64_t k1 = 0x9e3779b185ebca87u, k2 = 0xc2b2ae3d27d4eb4fu, k3 = 0x165667b19e3779f9u, k4 = 0x85ebca77c2b2ae63u,
                   k5 = 0x27d4eb2f165667c5u;
constexpr uint32_t j1 = 0x9e3779b1u, j2 = 0x85ebca77u, j3 = 0xc2b2ae3du, j4 = 0x27d4eb2fu, j5 = 0x165667b1u;

uint64_t round(uint64_t lane, uint64_t input) { return rotate(lane + input * k2, 31) * k1; }
uint64_t merge(uint64_t sum, uint64_t lane) { return (sum ^ round(0, lane)) * k1 + k4; }

}  // namespace

uint64_t xxh64(const void* data, size_t bytes) {
  const uint8_t* p = static_cast<const uint8_t*>(data);
  const uint8_t* const end = p + bytes;
  uint64_t h = k5;
  if (bytes >= 32) {
    uint64_t a = k1 + k2, b = k2, c = 0, d = 0 - k1;
    for (; end - p >= 32; p += 32) {
      a = round(a, read<uint64_t>(p));
      b = round(b, read<uint64_t>(p + 8));
      c = round(c, read<uint64_t>(p + 16));
      d = round(d, read<uint64_t>(p + 24));
    }
    h = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    h = merge(merge(merge(merge(h, a), b), c), d);
  }
  h += bytes;
  for (; end - p >= 8; p += 8) h = rotate(h ^ round(0, read<uint64_t>(p)), 27) * k1 + k4;
  if (end - p >= 4) {
    h = rotate(h ^ read<uint32_t>(p) * k1, 23) * k2 + k3;
    p += 4;
  }
  for (; p < end; p++) h = rotate(h ^ *p * k5, 11) * k1;
  h = (h ^ h >> 33) * k2;
  h = (h ^ h >> 29) * k3;
  return h ^ h >> 32;
}

uint32_t xxh32(const void* data, size_t bytes) {
  const uint8_t* p = static_cast<const uint8_t*>(data);
  const uint8_t* const end = p + bytes;
  uint32_t h = j5;
  if (bytes >= 16) {
    uint32_t lanes[4] = {j1 + j2, j2, 0, 0 - j1};
    for (; end - p >= 16; p += 16) {
      for (int i = 0; i < 4; i++) lanes[i] = rotate(lanes[i] + read<uint32_t>(p + 4 * i) * j2, 13) * j1;
    }
    h = rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) + rotate(lanes[3], 18);
  }
  h += uint32_t(bytes);
  for (; end - p >= 4; p += 4) h = rotate(h + read<uint32_t>(p) * j3, 17) * j4;
  for (; p < end; p++) h = rotate(h + *p * j5, 11) * j1;
  h = (h ^ h >> 15) * j2;
  h = (h ^ h >> 13) * j3;
  return h ^ h >> 16;
}

uint64_t hash_of(Hash hash, int bits, const void* data, size_t bytes) {
  if (hash == Hash::xxhash) return bits == 32 ? xxh32(data, bytes) : xxh64(data, bytes);
  const uint64_t first = sha1_64(data, bytes);
  return bits == 32 ? uint32_t(first) : first;
}

}  // namespace mixwright::text
