#include "cuda/exec.h"

#include <algorithm>
#include <atomic>
#include <cstdio>

namespace mixwright::cuda {

namespace {
constexpr int64_t kManyReports = 4096;

bool told(const Fault* fault) {
  const bool ready = *const_cast<const volatile int32_t*>(&fault->ready) != 0;
  std::atomic_thread_fence(std::memory_order_acquire);
  return ready;
}
}  // namespace

Report Exec::report(const char* format) {
  const std::lock_guard<std::mutex> lock(mutex_);
  reports_.push_back({op_, path_ ? *path_ : std::string(), step_, format});
  return {fault_, first_ + int64_t(reports_.size()) - 1};
}

int64_t Exec::mark() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return first_ + int64_t(reports_.size());
}

void Exec::begin(const char* op, const std::string* path, int64_t step) {
  op_ = op;
  path_ = path;
  step_ = step;
  const int64_t now = mark();
  if (now - forgotten_ < kManyReports) return;
  forgotten_ = now;
  waiter_->after([this, now] { forget(now); });
}

void Exec::check(int64_t before) {
  if (told(fault_) && fault_->report < before) {
    const Fault& fault = *fault_;
    const std::lock_guard<std::mutex> lock(mutex_);
    const Command& command = reports_[size_t(fault.report - first_)];
    char text[400];
    std::snprintf(text, sizeof text, command.format, (long long)fault.numbers[0], (long long)fault.numbers[1],
                  (long long)fault.numbers[2]);
    throw LateFailure(text, command.op, command.path, command.step);
  }
  waiter_->check();
}

void Exec::settle() {
  wait();
  check();
  forget(mark());
}

// Reports stay once there is a fault: it may be one of them, and somebody will ask.
void Exec::forget(int64_t before) {
  if (told(fault_)) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (; first_ < before && !reports_.empty(); first_++) reports_.pop_front();
}

void Exec::reset() {
  waiter_->reset();
  finish();
  *fault_ = Fault{};
  forget(mark());
}

void* Exec::bytes(int slot, int64_t count) {
  auto& own = scratch_[slot];
  if (count > own.size) {
    int64_t size = std::max<int64_t>(count, own.size * 3 / 2);
    if (own.memory) {
      wait();  // for the kernels that use it
      give_back(own.memory);
    }
    own = {};
    void* memory = take(size_t(size));
    if (!memory) memory = take(size_t(size = count));
    if (!memory) fail("scratch of %lld bytes: the device has no room, a smaller memoryLimitBytes leaves some", (long long)count);
    own = {memory, size};
  }
  return own.memory;
}

}  // namespace mixwright::cuda
