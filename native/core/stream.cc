#include "core/stream.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
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
  stop_ = true;
  arrived_.wake();
  if (thread_.joinable()) thread_.join();
}

void Stream::close() {
  stop();
  for (; !queue_.empty(); queue_.pop()) {
    Command& command = queue_.front();
    const Failure closed{command.op, "", "the device was closed before its turn came", -1};
    command.done(&closed);
  }
}

void Stream::wait_for_room() {
  const auto from = Clock::now();
  left_.wait([this] { return queue_.size() < kMaxQueued; });
  blocked_ms_ += std::chrono::duration<double, std::milli>(Clock::now() - from).count();
}

void Stream::loop() {
  while (true) {
    arrived_.wait([this] { return stop_.load() || !queue_.empty(); });
    if (stop_) return;
    run_next();
    left_.wake();
  }
}

void Stream::run_next() {
  const auto start = modes_.trace ? Clock::now() : Clock::time_point();
  Command& command = queue_.front();
  if (command.moved) at_ = std::move(command.moved);
  if (!poisoned_.load(std::memory_order_relaxed)) {
    try {
      command.run();
    } catch (const LateFailure& late) {
      poison({late.op, late.path, late.what(), late.step});
    } catch (const std::exception& error) {
      poison({command.op, at_->path, error.what(), at_->step});
    }
  }
  if (modes_.trace) {
    const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
    spans_.push_back({command.op, at_, micros_since_start(start), micros});
  }
  command.done(failure());
  queue_.pop();
}

const Failure* Stream::poison(Failure failure) {
  const std::lock_guard<std::mutex> lock(poisoning_);
  if (!poisoned_.load(std::memory_order_relaxed)) {
    failure_ = std::move(failure);
    poisoned_.store(true, std::memory_order_release);
  }
  return &failure_;
}

void Stream::drain() {
  left_.wait([this] { return queue_.size() == 0; });
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
                 comma, span.op, (long long)span.start_us, (long long)span.micros,
                 span.place->path.c_str(), (long long)span.place->step);
    comma = ",";
  }
  std::fputs("\n]\n", file);
  std::fclose(file);
}

}  // namespace mixwright
