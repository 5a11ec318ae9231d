// The in-order executor of one device (house rules S2, S3, S8). The JavaScript thread enqueues commands, a thread of our
// own runs them. The first failure poisons the stream: later commands are skipped, reads and fences get the failure.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/tensor.h"

namespace mixwright {

// Where a command came from: what an error message and a trace need to know.
struct Label {
  const char* op = "";
  std::shared_ptr<const std::string> path;  // module path, such as "model.layers.7.mlp.experts"
  int64_t step = -1;
};

struct Failure {
  std::string op, path, message;
  int64_t step = -1;
};

struct DebugModes {
  bool sync = false;    // run each command inline, on the caller's thread
  bool finite = false;  // check every output, name the first bad op
  bool trace = false;   // keep a timeline, written when the stream closes
  bool guard = false;   // fill fresh memory with NaN, and check the bytes around it when it is given back
};

class Stream {
 public:
  using Work = std::function<void()>;
  using Done = std::function<void(const Failure*)>;  // null: all well

  explicit Stream(DebugModes modes);
  ~Stream();  // stops after the command that is running; what is queued is dropped

  // The same, and tells every read and fence that is still queued that the device was closed.
  void close();

  // Appends a command; `outputs` are looked at in `finite` mode. Blocks while the queue is full.
  void enqueue(Label label, Work work, std::vector<View> outputs);
  // Appends a read or a fence: it runs in its turn even on a poisoned stream, and is told the failure.
  void enqueue_read(Label label, Work work, Done done);

  // The failure that poisons the stream, or null. The pointer stays valid until `reset`.
  const Failure* failure() const { return poisoned_.load(std::memory_order_acquire) ? &failure_ : nullptr; }
  void reset();  // waits until the queue is empty, then forgets the failure
  void drain();

  int64_t queued() const { return queued_.load(std::memory_order_relaxed); }
  int64_t commands() const { return commands_; }
  double blocked_ms() const { return blocked_ms_; }
  const DebugModes& modes() const { return modes_; }
  void check_outputs(bool on) { drain(); modes_.finite = on; }

 private:
  struct Command {
    Label label;
    Work work;
    Done done;
    std::vector<View> outputs;
  };
  struct Span {
    const char* op;
    std::shared_ptr<const std::string> path;
    int64_t step, start_us, micros;
  };

  void stop();
  void push(Command command);
  void run(Command& command);
  void loop();
  void poison(const Label& label, std::string message);
  void check_finite(const Command& command) const;
  void write_trace() const;

  static constexpr int64_t kMaxQueued = 16384;

  DebugModes modes_;
  std::mutex mutex_;
  std::condition_variable arrived_, left_;
  std::deque<Command> queue_;
  std::atomic<int64_t> queued_{0};  // waiting or running
  std::atomic<bool> poisoned_{false}, stop_{false};
  Failure failure_;
  int64_t commands_ = 0;
  double blocked_ms_ = 0;
  std::vector<Span> spans_;
  std::thread thread_;
};

}  // namespace mixwright
