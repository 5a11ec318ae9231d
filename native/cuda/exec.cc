#include "cuda/exec.h"

#include <algorithm>
#include <cstdio>

namespace mixwright::cuda {

Report Exec::report(const char* format) {
  reports_.push_back({op_, path_ ? *path_ : std::string(), step_, format});
  return {fault_, int64_t(reports_.size()) - 1};
}

void Exec::begin(const char* op, const std::string* path, int64_t step) {
  op_ = op;
  path_ = path;
  step_ = step;
  if (reports_.size() >= 4096) settle();  // not in report(): a kernel may have several, and keeps their numbers
}

void Exec::check() {
  if (*const_cast<volatile int32_t*>(&fault_->ready) != 0) settle();
}

void Exec::settle() {
  wait();
  const bool failed = fault_->ready != 0;
  const Fault fault = *fault_;
  if (!failed) return reports_.clear();
  const Command command = reports_[size_t(fault.report)];
  reports_.clear();
  *fault_ = Fault{};
  char text[400];
  std::snprintf(text, sizeof text, command.format, (long long)fault.numbers[0], (long long)fault.numbers[1],
                (long long)fault.numbers[2]);
  throw LateFailure(text, command.op, command.path, command.step);
}

void* Exec::bytes(int slot, int64_t count) {
  auto& own = scratch_[slot];
  if (count > own.size) {
    int64_t size = std::max<int64_t>(count, own.size * 3 / 2);
    if (own.memory) give_back(own.memory);  // waits for the kernels that use it
    own = {};
    void* memory = take(size_t(size));
    if (!memory) memory = take(size_t(size = count));
    if (!memory) fail("scratch of %lld bytes: the device has no room, a smaller memoryLimitBytes leaves some", (long long)count);
    own = {memory, size};
  }
  return own.memory;
}

}  // namespace mixwright::cuda
