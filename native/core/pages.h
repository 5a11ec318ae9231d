// Memory from the system, for tensors and for kernels' scratch. Large blocks come in huge pages where the system has them:
// touching fresh memory page by page costs more than the kernel that fills it.
#pragma once
#include <cstddef>

namespace mixwright {

void* take_pages(size_t bytes);  // aligned to 64 at least; null when there is no room
void give_back_pages(void* memory, size_t bytes);  // `bytes` as asked for

}  // namespace mixwright
