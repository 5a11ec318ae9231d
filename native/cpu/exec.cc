#include "cpu/exec.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#ifdef __linux__
#include <sched.h>
#endif

namespace mixwright::cpu {

namespace {
// Between regions: longer than the ops that have one task take. To be woken takes as long, and may end on the wrong core.
constexpr std::chrono::microseconds kSpin{100};
constexpr int64_t kHeldUpUs = 200, kLeastRestUs = 2000, kMostRestUs = 64000;

// Moves the calling thread to another core than the one it is on. The system likes to wake a thread on the core of the one
// that woke it, where the two can only take turns, and leaves it there for milliseconds.
bool leave_core() {
#ifdef __linux__
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return false;
  cpu_set_t others = allowed;
  CPU_CLR(sched_getcpu(), &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof(others), &others) != 0) return false;
  sched_setaffinity(0, sizeof(allowed), &allowed);
  return true;
#else
  return false;
#endif
}

int64_t now_us() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}
}  // namespace

void* Worker::bytes(int64_t count) {
  if (size_t(count) > size_) {
    give_back_pages(std::exchange(memory_, nullptr), std::exchange(size_, 0));
    const size_t size = (size_t(count) + 4095) / 4096 * 4096;
    memory_ = take_pages(size);
    if (!memory_) throw std::bad_alloc();
    size_ = size;
  }
  return memory_;
}

Exec::Exec(int threads) : workers_(size_t(threads < 1 ? 1 : threads)), stretches_(workers_.size()) {
  try {
    for (size_t i = 1; i < workers_.size(); i++) threads_.emplace_back([this, i] { serve(i); });
  } catch (const std::exception& error) {
    const size_t started = threads_.size() + 1;  // with the caller's
    stop();
    throw std::runtime_error(std::to_string(threads) + " threads were asked for, " + std::to_string(started) +
                             " could be started (" + error.what() + ")");
  }
}

Exec::~Exec() { stop(); }

void Exec::stop() {
  stop_ = true;
  start_.wake(int(threads_.size()));
  for (auto& thread : threads_) thread.join();
}

void Exec::run(int64_t tasks, void* context, Invoke invoke) {
  if (tasks <= 0) return;
  if (tasks == 1 || threads_.empty()) {
    for (int64_t task = 0; task < tasks; task++) invoke(context, task, workers_[0]);
    return;
  }
  context_ = context;
  invoke_ = invoke;
  const int64_t workers = int64_t(workers_.size());
  for (int64_t i = 0; i < workers; i++) {
    stretches_[size_t(i)].next.store(tasks * i / workers, std::memory_order_relaxed);
    stretches_[size_t(i)].end = tasks * (i + 1) / workers;
  }
  const int64_t start = now_us();
  if (start < rest_until_us_) {
    work(0);
  } else {
    gate_.store((gate_.load(std::memory_order_relaxed) & ~(kRegion - 1)) + kRegion + kOpen);
    start_.wake(int(std::min<int64_t>(tasks - 1, int64_t(threads_.size()))));
    work(0);
    if ((gate_.fetch_sub(kOpen) & (kOpen - 1)) != 0) wait_for_others(start);
  }
  if (failed_.load(std::memory_order_relaxed)) {
    failed_.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

// One that was put aside by the system in the middle of a task, on a busy machine, holds the region up. When that takes more
// than a quarter of the time worked together, the caller goes on alone for a while, and for longer each time.
void Exec::wait_for_others(int64_t start) {
  const int64_t own_end = now_us();
  finish_.wait([this] { return (gate_.load() & (kOpen - 1)) == 0; });
  const int64_t end = now_us(), waited = end - own_end;
  together_us_ += own_end - start;
  if (waited < kHeldUpUs) return;
  if (4 * waited < std::exchange(together_us_, 0)) {
    rest_us_ = 0;
  } else {
    rest_us_ = std::clamp(2 * rest_us_, kLeastRestUs, kMostRestUs);
    rest_until_us_ = end + rest_us_;
  }
}

void Exec::work(size_t index) {
  const size_t workers = workers_.size();
  for (size_t i = 0; i < workers; i++) {
    Stretch& stretch = stretches_[(index + i) % workers];
    while (!failed_.load(std::memory_order_relaxed)) {
      const int64_t task = stretch.next.fetch_add(1, std::memory_order_relaxed);
      if (task >= stretch.end) break;
      try {
        invoke_(context_, task, workers_[index]);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(error_mutex_);
        if (!error_) error_ = std::current_exception();
        failed_.store(true, std::memory_order_relaxed);
      }
    }
  }
}

void Exec::serve(size_t index) {
  uint64_t seen = 0;  // the last region this thread was in
  while (true) {
    uint64_t gate = 0;
    const auto ready = [&] {
      gate = gate_.load();
      return stop_.load() || ((gate & kOpen) != 0 && gate / kRegion != seen);
    };
    start_.wait(ready, kSpin);
    if (stop_) return;
    if (start_.shares_core() && leave_core()) continue;
    if (!gate_.compare_exchange_strong(gate, gate + 1)) continue;
    seen = gate / kRegion;
    work(index);
    if ((gate_.fetch_sub(1) & (kRegion - 1)) == 1) finish_.wake();  // the last one to leave a closed region
  }
}

}  // namespace mixwright::cpu
