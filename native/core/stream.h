// The in-order executor of one device (house rules S2, S3, S8). The JavaScript thread enqueues commands, a thread of our
// own runs them. The first failure poisons the stream: later commands are skipped, reads and fences get the failure.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/command_queue.h"
#include "core/parking.h"

namespace mixwright {

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
  explicit Stream(DebugModes modes);
  ~Stream();  // stops after the command that is running; what is queued is dropped

  // The same, and tells every read and fence that is still queued that the device was closed.
  void close();

  // Where the commands come from that are appended from now on: a module path, such as "model.layers.7.mlp.experts", and a
  // training step. Messages and traces say it.
  void set_path(std::string path) { place_.path = std::move(path), moved_ = true; }
  void set_step(int64_t step) { place_.step = step, moved_ = true; }

  // Appends a command, which runs as work(). Blocks while the queue is full.
  template <class Work>
  void enqueue(const char* op, Work work) {
    push<Kernel<Work>>(op, std::move(work));
  }
  // Appends a read or a fence: when its turn came, on a poisoned stream too, done(failure) is called, null: all well. Only
  // if so has work() run before.
  template <class Work, class Done>
  void enqueue_read(const char* op, Work work, Done done) {
    push<Read<Work, Done>>(op, std::move(work), std::move(done));
  }

  // Poisons the stream, unless it is: the first failure stays, and is returned. By the thread that runs commands, or by another
  // one that learns how they ended.
  const Failure* poison(Failure failure);
  // The failure that poisons the stream, or null. The pointer stays valid until `reset`.
  const Failure* failure() const { return poisoned_.load(std::memory_order_acquire) ? &failure_ : nullptr; }
  void reset();  // waits until the queue is empty, then forgets the failure
  void drain();

  // In a command: where it comes from.
  const std::string& place_path() const { return at_->path; }
  int64_t place_step() const { return at_->step; }

  int64_t queued() const { return queue_.size(); }
  int64_t commands() const { return commands_; }
  double blocked_ms() const { return blocked_ms_; }
  const DebugModes& modes() const { return modes_; }
  void check_outputs(bool on) { modes_.finite = on; }  // of commands appended from now on

 private:
  struct Place {
    std::string path;
    int64_t step = -1;
  };
  struct Command {
    explicit Command(const char* name) : op(name) {}
    virtual ~Command() = default;
    virtual void run() = 0;
    virtual void done(const Failure*) {}
    const char* op;
    std::shared_ptr<const Place> moved;  // not null: from here on commands come from there
  };
  template <class Work>
  struct Kernel final : Command {
    Kernel(const char* name, Work body) : Command(name), work(std::move(body)) {}
    void run() override { work(); }
    Work work;
  };
  template <class Work, class Done>
  struct Read final : Command {
    Read(const char* name, Work body, Done told) : Command(name), work(std::move(body)), tell(std::move(told)) {}
    void run() override { work(); }
    void done(const Failure* failure) override { tell(failure); }
    Work work;
    Done tell;
  };
  struct Span {
    const char* op;
    std::shared_ptr<const Place> place;
    int64_t start_us, micros;
  };

  template <class Made, class... Args>
  void push(Args&&... args) {
    commands_++;
    if (queue_.size() >= kMaxQueued) wait_for_room();
    Made command(std::forward<Args>(args)...);
    if (moved_) {
      command.moved = std::make_shared<const Place>(place_);
      moved_ = false;
    }
    queue_.template push<Made>(std::move(command));
    if (modes_.sync) run_next();
    else arrived_.wake();
  }

  void stop();
  void wait_for_room();
  void run_next();
  void loop();
  void write_trace() const;

  static constexpr int64_t kMaxQueued = 16384;

  DebugModes modes_;
  // Of the thread that appends.
  Place place_;
  bool moved_ = false;
  int64_t commands_ = 0;
  double blocked_ms_ = 0;
  // Of the thread that runs.
  std::shared_ptr<const Place> at_ = std::make_shared<const Place>();
  std::vector<Span> spans_;

  CommandQueue<Command> queue_;
  Parking arrived_, left_;
  std::atomic<bool> poisoned_{false}, stop_{false};
  std::mutex poisoning_;
  Failure failure_;
  std::thread thread_;
};

}  // namespace mixwright
