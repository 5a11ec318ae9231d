// What this machine's caches hold, asked once. Tiles are sized by it.
#pragma once
#include <cstdint>

namespace mixwright::cpu {

// Bytes of one core's L2 cache; 512 KiB where the system doesn't say.
int64_t l2_bytes();

}  // namespace mixwright::cpu
