// Hashes of short texts, as datatrove takes them: SHA-1's first bytes (FIPS 180-4) and xxHash (github.com/Cyan4973/xxHash,
// doc/xxhash_spec.md), seed 0. SHA-1 uses the processor's instructions where it has them.
#pragma once
#include <cstddef>
#include <cstdint>

namespace mixwright::text {

enum class Hash { sha1, xxhash };

// The first 8 bytes of a SHA-1 digest, read as a little-endian number.
uint64_t sha1_64(const void* data, size_t bytes);
// The same without the processor's instructions.
uint64_t sha1_64_portable(const void* data, size_t bytes);
uint64_t xxh64(const void* data, size_t bytes);
uint32_t xxh32(const void* data, size_t bytes);

// `bits` is 32 or 64.
uint64_t hash_of(Hash hash, int bits, const void* data, size_t bytes);

}  // namespace mixwright::text
