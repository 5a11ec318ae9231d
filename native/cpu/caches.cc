#include "cpu/caches.h"

#if defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__unix__)
#include <unistd.h>
#endif

namespace mixwright::cpu {

namespace {
int64_t ask() {
#if defined(__APPLE__)
  int64_t bytes = 0;
  size_t size = sizeof bytes;
  if (sysctlbyname("hw.perflevel0.l2cachesize", &bytes, &size, nullptr, 0) == 0) return bytes;
#elif defined(_SC_LEVEL2_CACHE_SIZE)
  return sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
  return 0;
}
}  // namespace

int64_t l2_bytes() {
  static const int64_t bytes = ask() > 0 ? ask() : 512 << 10;
  return bytes;
}

}  // namespace mixwright::cpu
