#include "core/pages.h"

#include <cstdint>
#include <cstdlib>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace mixwright {

namespace {
constexpr size_t kAlignment = 64, kHugePage = size_t(2) << 20;

constexpr size_t up_to(size_t multiple, size_t bytes) { return (bytes + multiple - 1) / multiple * multiple; }
}  // namespace

#ifdef __linux__

void* take_pages(size_t bytes) {
  if (bytes < kHugePage) return std::aligned_alloc(kAlignment, up_to(kAlignment, bytes));
  const size_t size = up_to(4096, bytes), span = size + kHugePage;
  void* mapped = mmap(nullptr, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* const begin = static_cast<char*>(mapped);
  const size_t before = up_to(kHugePage, uintptr_t(begin)) - uintptr_t(begin);
  if (before > 0) munmap(begin, before);
  munmap(begin + before + size, kHugePage - before);
  madvise(begin + before, size, MADV_HUGEPAGE);  // refused where there are none
  return begin + before;
}

void give_back_pages(void* memory, size_t bytes) {
  if (bytes < kHugePage) std::free(memory);
  else if (memory) munmap(memory, up_to(4096, bytes));
}

#else

void* take_pages(size_t bytes) {
  const size_t alignment = bytes < kHugePage ? kAlignment : size_t(1) << 14;
  return std::aligned_alloc(alignment, up_to(alignment, bytes));
}

void give_back_pages(void* memory, size_t) { std::free(memory); }

#endif

}  // namespace mixwright
