// Where threads wait for each other: they look for a short while, then sleep. Waking costs a system call only when
// somebody sleeps.
//
// Whoever makes `ready` true must do it with a sequentially consistent write and call `wake` afterwards, and `ready` must
// read the same way: then either the waiting thread sees the change before it sleeps, or the other one sees the sleeper.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#ifndef __linux__
#include <condition_variable>
#include <mutex>
#endif

namespace mixwright {

class Parking {
 public:
  // Returns once ready() is true. It spins for `spin` at most: a thread that spins takes its core from another one, maybe
  // from the very one it waits for.
  template <class Ready>
  void wait(std::chrono::microseconds spin, Ready ready) {
    if (ready() || spin_until(spin, ready)) return;
    while (true) {
      sleepers_.fetch_add(1);
      const uint32_t ticket = rings_.load();
      const bool now = ready();
      if (!now) sleep(ticket);
      sleepers_.fetch_sub(1);
      if (now || ready()) return;
    }
  }

  // Wakes `count` of the sleeping threads, or as many as there are.
  void wake(int count = 1) {
    if (sleepers_.load() > 0) ring(count);
  }

 private:
  template <class Ready>
  static bool spin_until(std::chrono::microseconds spin, Ready ready) {
    const auto deadline = std::chrono::steady_clock::now() + spin;
    do {
      for (int i = 0; i < 32; i++) {
        if (ready()) return true;
        relax();
      }
    } while (std::chrono::steady_clock::now() < deadline);
    return false;
  }

  static void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  void sleep(uint32_t ticket);  // until `rings_` is no longer `ticket`, or for no reason
  void ring(int count);

  std::atomic<uint32_t> rings_{0};
  std::atomic<int> sleepers_{0};
#ifndef __linux__
  std::mutex mutex_;
  std::condition_variable rung_;
#endif
};

}  // namespace mixwright
