#include "core/stream.h"

#include <chrono>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <unistd.h>

#include "core/checks.h"

namespace mixwright {

namespace {
using Clock = std::chrono::steady_clock;

int64_t micros_since_start(Clock::time_point t) {
  static const Clock::time_point start = Clock::now();
  return std::chrono::duration_cast<std::chrono::microseconds>(t - start).count();
}
}  // namespace

Stream::Stream(DebugModes modes) : modes_(modes) {
  micros_since_start(Clock::now());
  if (!modes_.sync) thread_ = std::thread([this] { loop(); });
}

Stream::~Stream() {
  stop();
  if (modes_.trace) write_trace();
}

void Stream::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  arrived_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Stream::close() {
  stop();
  for (Command& command : queue_) {
    if (!command.done) continue;
    const Failure closed{command.label.op, "", "the device was closed before its turn came", -1};
    command.done(&closed);
  }
  queue_.clear();
  queued_ = 0;
}

void Stream::enqueue(Label label, Work work, std::vector<View> outputs) {
  push(Command{std::move(label), std::move(work), nullptr, modes_.finite ? std::move(outputs) : std::vector<View>()});
}

void Stream::enqueue_read(Label label, Work work, Done done) {
  push(Command{std::move(label), std::move(work), std::move(done), {}});
}

void Stream::push(Command command) {
  commands_++;
  if (modes_.sync) {
    queued_++;
    run(command);
    return;
  }
  std::unique_lock<std::mutex> lock(mutex_);
  if (queued_ >= kMaxQueued) {
    const auto from = Clock::now();
    left_.wait(lock, [this] { return queued_ < kMaxQueued; });
    blocked_ms_ += std::chrono::duration<double, std::milli>(Clock::now() - from).count();
  }
  queue_.push_back(std::move(command));
  queued_++;
  lock.unlock();
  arrived_.notify_one();
}

void Stream::loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    arrived_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (stop_) return;
    Command command = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    run(command);
    command = Command();  // what the closure holds is let go outside of the lock
    lock.lock();
    left_.notify_all();
  }
}

void Stream::run(Command& command) {
  const auto start = Clock::now();
  if (!poisoned_) {
    try {
      if (command.work) command.work();
      if (modes_.finite) check_finite(command);
    } catch (const std::exception& error) {
      poison(command.label, error.what());
    }
  }
  if (modes_.trace) {
    const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
    spans_.push_back({command.label.op, command.label.path, command.label.step, micros_since_start(start), micros});
  }
  if (command.done) command.done(failure());
  queued_--;
}

void Stream::poison(const Label& label, std::string message) {
  failure_ = Failure{label.op, label.path ? *label.path : "", std::move(message), label.step};
  poisoned_.store(true, std::memory_order_release);
}

void Stream::check_finite(const Command& command) const {
  int position = 0;
  for (const View& out : command.outputs) {
    if (out && (out.dtype == DType::f32 || out.dtype == DType::bf16)) {
      for (int64_t i = 0; i < out.size(); i++) {
        const float value = out.dtype == DType::f32 ? static_cast<const float*>(out.memory)[i]
                                                    : widen(static_cast<const bf16*>(out.memory)[i]);
        if (!std::isfinite(value)) {
          throw KernelError("output " + std::to_string(position) + " holds " + std::to_string(value) + " at element " +
                            std::to_string(i) + " of " + std::to_string(out.size()));
        }
      }
    }
    position++;
  }
}

void Stream::drain() {
  if (modes_.sync) return;
  std::unique_lock<std::mutex> lock(mutex_);
  left_.wait(lock, [this] { return queued_ == 0; });
}

void Stream::reset() {
  drain();
  poisoned_ = false;
  failure_ = Failure();
}

void Stream::write_trace() const {
  static std::atomic<int> written{0};
  const std::string name = "mixwright-trace-" + std::to_string(getpid()) + "-" + std::to_string(++written) + ".json";
  FILE* file = std::fopen(name.c_str(), "w");
  if (!file) {
    std::fprintf(stderr, "mixwright: the trace file %s could not be written: %s\n", name.c_str(), std::strerror(errno));
    return;
  }
  std::fputs("[", file);
  const char* comma = "";
  for (const Span& span : spans_) {
    std::fprintf(file, "%s\n{\"name\":\"%s\",\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":%lld,\"dur\":%lld,\"args\":{\"path\":\"%s\",\"step\":%lld}}",
                 comma, span.op, (long long)span.start_us, (long long)span.micros, span.path ? span.path->c_str() : "",
                 (long long)span.step);
    comma = ",";
  }
  std::fputs("\n]\n", file);
  std::fclose(file);
}

}  // namespace mixwright
