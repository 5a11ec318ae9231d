#include "cpu/exec.h"

#include <chrono>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>

namespace mixwright::cpu {

namespace {
// How long a thread looks for work, or for the end of it, before it sleeps. Short: on a busy machine a spinning thread
// takes the core from the one it waits for.
constexpr auto kSpin = std::chrono::microseconds(20);

template <class Ready>
bool spin_until(Ready ready) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; i++) {
      if (ready()) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}
}  // namespace

void* Worker::bytes(int64_t count) {
  if (count > size_) {
    const size_t rounded = (size_t(count) + 4095) / 4096 * 4096;
    void* fresh = std::aligned_alloc(4096, rounded);
    if (!fresh) throw std::bad_alloc();
    memory_ = {fresh, std::free};
    size_ = int64_t(rounded);
  }
  return memory_.get();
}

Exec::Exec(int threads) : workers_(size_t(threads < 1 ? 1 : threads)) {
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
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  start_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Exec::run(int64_t tasks, void* context, Invoke invoke) {
  if (tasks <= 0) return;
  if (tasks == 1 || threads_.empty()) {
    for (int64_t task = 0; task < tasks; task++) invoke(context, task, workers_[0]);
    return;
  }
  tasks_ = tasks;
  context_ = context;
  invoke_ = invoke;
  error_ = nullptr;
  failed_ = false;
  next_ = 0;
  busy_ = int(threads_.size());
  {
    std::lock_guard<std::mutex> lock(mutex_);
    round_.fetch_add(1, std::memory_order_release);
  }
  start_.notify_all();
  work(workers_[0]);
  if (!spin_until([this] { return busy_.load(std::memory_order_acquire) == 0; })) {
    std::unique_lock<std::mutex> lock(mutex_);
    finish_.wait(lock, [this] { return busy_.load(std::memory_order_acquire) == 0; });
  }
  if (failed_) std::rethrow_exception(error_);
}

void Exec::work(Worker& worker) {
  while (!failed_.load(std::memory_order_relaxed)) {
    const int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
    if (task >= tasks_) return;
    try {
      invoke_(context_, task, worker);
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!failed_) error_ = std::current_exception();
      failed_ = true;
    }
  }
}

void Exec::serve(size_t index) {
  uint64_t seen = 0;
  while (true) {
    const auto arrived = [this, seen] { return stop_ || round_.load(std::memory_order_acquire) != seen; };
    if (!spin_until(arrived)) {
      std::unique_lock<std::mutex> lock(mutex_);
      start_.wait(lock, arrived);
    }
    if (stop_) return;
    seen = round_.load(std::memory_order_acquire);
    work(workers_[index]);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      std::lock_guard<std::mutex> lock(mutex_);
      finish_.notify_one();
    }
  }
}

}  // namespace mixwright::cpu
