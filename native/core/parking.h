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
  // Returns once ready() is true, after looking for about `spin` before it sleeps.
  template <class Ready>
  void wait(Ready ready, std::chrono::microseconds spin = std::chrono::microseconds(20)) {
    while (!ready() && !spin_until(ready, spin)) {
      sleepers_.fetch_add(1);
      const uint32_t ticket = rings_.load();
      if (!ready()) sleep(ticket);
      sleepers_.fetch_sub(1);
    }
  }

  // Wakes `count` of the sleeping threads, or as many as there are.
  void wake(int count = 1) {
    const int core = current_core();
    if (core != core_.load(std::memory_order_relaxed)) core_.store(core, std::memory_order_relaxed);
    if (sleepers_.load() > 0) ring(count);
  }

  // Does the calling thread run on the core of the one that called `wake` last? Then the two can only take turns. On a busy
  // machine the system likes to put them so.
  bool shares_core() const {
    const int core = current_core();
    return core >= 0 && core == core_.load(std::memory_order_relaxed);
  }

 private:
  template <class Ready>
  bool spin_until(Ready ready, std::chrono::microseconds spin) const {
    const auto deadline = std::chrono::steady_clock::now() + spin;
    do {
      for (int i = 0; i < 32; i++) {
        if (ready()) return true;
        relax();
      }
      // A thread that spins takes the core from others, maybe from the very one it waits for.
    } while (!shares_core() && std::chrono::steady_clock::now() < deadline);
    return false;
  }

  static int current_core();  // -1: the system doesn't say

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
  std::atomic<int> core_{-1};
#ifndef __linux__
  std::mutex mutex_;
  std::condition_variable rung_;
#endif
};

}  // namespace mixwright
