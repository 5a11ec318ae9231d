// The CPU engine's threads, as a kernel sees them.
//
//   exec.parallel(tasks, [&](int64_t task, Worker& worker) { ... });
//
// Each thread begins with its own stretch of neighbouring tasks, so that kernels which cut the same tensor alike find it in
// the same core's cache, and then helps the others. A kernel must cut its work into tasks by the shape alone, and give
// every output element to exactly one task: then the bits do not depend on the number of threads. Sums that cross tasks go
// through one slot per task and are added up afterwards, in task order.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "core/pages.h"
#include "core/parking.h"

namespace mixwright::cpu {

// One thread's private memory. `scratch` returns the same 64-byte aligned block again and again, grown when needed; its
// content does not survive the task.
class Worker {
 public:
  Worker() = default;
  ~Worker() { give_back_pages(memory_, size_); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  template <class T>
  T* scratch(int64_t count) {
    return static_cast<T*>(bytes(count * int64_t(sizeof(T))));
  }

  void* bytes(int64_t count);

 private:
  void* memory_ = nullptr;
  size_t size_ = 0;
};

class Exec {
 public:
  explicit Exec(int threads);
  ~Exec();
  Exec(const Exec&) = delete;
  Exec& operator=(const Exec&) = delete;

  int threads() const { return int(workers_.size()); }

  // Memory that all tasks of a kernel see, for partial sums and the like: one block per `slot`, kept and grown as Worker's.
  template <class T>
  T* shared(int64_t count, int slot = 0) {
    return static_cast<T*>(shared_[slot].bytes(count * int64_t(sizeof(T))));
  }

  // Runs body(task, worker) for every task in [0, tasks), on all threads, and returns when all are done. The first
  // exception is thrown here. Not to be called from inside a task.
  template <class Body>
  void parallel(int64_t tasks, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run(tasks, const_cast<void*>(static_cast<const void*>(&body)),
        [](void* context, int64_t task, Worker& worker) { (*static_cast<Plain*>(context))(task, worker); });
  }

  // Cuts [0, count) into ranges of `grain` (the last one shorter) and runs body(begin, end) on them.
  template <class Body>
  void parallel_range(int64_t count, int64_t grain, Body&& body) {
    parallel((count + grain - 1) / grain, [&](int64_t task, Worker&) {
      const int64_t begin = task * grain;
      body(begin, begin + grain < count ? begin + grain : count);
    });
  }

 private:
  using Invoke = void (*)(void* context, int64_t task, Worker& worker);
  void run(int64_t tasks, void* context, Invoke invoke);
  void wait_for_others(int64_t start_us);
  void work(size_t index);
  void serve(size_t index);
  void stop();

  static constexpr int kSharedSlots = 4;
  Worker shared_[kSharedSlots];
  std::vector<Worker> workers_;  // [0] is the caller's
  std::vector<std::thread> threads_;

  // A thread takes part in a region only if it comes while the region is open, and only threads that came are waited for:
  // one that the system has put aside holds nobody up. `gate_` says all of it at once: how many threads are inside, whether
  // the region is open, and its number.
  static constexpr uint64_t kOpen = uint64_t(1) << 16, kRegion = kOpen << 1;
  alignas(64) std::atomic<uint64_t> gate_{0};
  std::atomic<bool> stop_{false};
  int64_t rest_until_us_ = 0;  // until then the caller works alone
  int64_t rest_us_ = 0, together_us_ = 0;
  struct alignas(64) Stretch {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };
  std::vector<Stretch> stretches_;  // of each worker
  alignas(64) std::atomic<bool> failed_{false};
  void* context_ = nullptr;
  Invoke invoke_ = nullptr;
  Parking start_, finish_;
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

}  // namespace mixwright::cpu
