#include "core/parking.h"

#ifdef __linux__
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace mixwright {

#ifdef __linux__

int Parking::current_core() { return sched_getcpu(); }

void Parking::sleep(uint32_t ticket) {
  static_assert(sizeof(rings_) == sizeof(uint32_t), "the kernel looks at the number itself");
  syscall(SYS_futex, &rings_, FUTEX_WAIT_PRIVATE, ticket, nullptr, nullptr, 0);
}

void Parking::ring(int count) {
  rings_.fetch_add(1);
  syscall(SYS_futex, &rings_, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

#else

int Parking::current_core() { return -1; }

void Parking::sleep(uint32_t ticket) {
  std::unique_lock<std::mutex> lock(mutex_);
  rung_.wait(lock, [&] { return rings_.load() != ticket; });
}

void Parking::ring(int count) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    rings_.fetch_add(1);
  }
  while (count-- > 0) rung_.notify_one();
}

#endif

}  // namespace mixwright
