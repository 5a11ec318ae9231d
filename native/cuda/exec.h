// The CUDA engine's device, as a kernel file's host code sees it: one stream, its scratch memory, and the way a kernel tells
// of data that it can't work with. Without CUDA's headers, so that binding/ can include it.
//
// Nothing here waits for the device, but what says so.
#pragma once
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/checks.h"
#include "core/tensor.h"
#include "cuda/fault.h"
#include "cuda/waiter.h"

struct CUstream_st;

namespace mixwright::cuda {

// What one device is: asked once, when it is opened.
struct Properties {
  std::string name;
  int major = 0, minor = 0, multiprocessors = 0;
  int64_t memory_bytes = 0, shared_bytes = 0;  // shared: the most that one block may have
};

// Why there is no device, in words: no driver, too old a driver (with both versions), no device, its error. Empty: there is one.
std::string why_no_device();
int device_count();
Properties properties(int ordinal);

class Exec {
 public:
  Exec(int ordinal, bool inline_waits);  // debug mode `sync`: no second thread (waiter.h)
  ~Exec();
  Exec(const Exec&) = delete;
  Exec& operator=(const Exec&) = delete;

  const Properties& properties() const { return properties_; }
  CUstream_st* stream() const { return stream_; }

  // Device memory for partial sums and the like: one block per `slot`, kept, and grown when needed. Every kernel call may use
  // all slots; their content doesn't survive the call.
  template <class T>
  T* scratch(int64_t count, int slot = 0) {
    return static_cast<T*>(bytes(slot, count * int64_t(sizeof(T))));
  }
  // The same, with a copy of `host`.
  template <class T>
  const T* upload(const std::vector<T>& host, int slot) {
    T* const memory = scratch<T>(int64_t(host.size()), slot);
    copy_in(memory, host.data(), int64_t(host.size() * sizeof(T)));
    return memory;
  }

  // For a kernel that checks its data: what it passes to report() (fault.h) becomes a message in this printf format, with up
  // to three numbers (%lld), that poisons the stream under the present command's name.
  Report report(const char* format);

  // The first report since the last reset(). A kernel that must not run after a failure asks it: commands that follow the failed
  // one are launched before the host knows.
  const Fault* fault() const { return fault_; }

  // Makes the device the calling thread's.
  void use_here();

  // The command whose kernels are launched next: for messages.
  void begin(const char* op, const std::string* path, int64_t step);
  // How many reports have been given out: what was launched so far has smaller numbers, what comes has none of them.
  int64_t mark();
  // Throws what kernels launched before that mark have reported so far (LateFailure), or CUDA's own error. Doesn't wait. By any
  // thread.
  void check(int64_t before = std::numeric_limits<int64_t>::max());
  // Waits for all that was launched, then checks.
  void settle();
  // Waits, whatever went wrong.
  void finish();
  // Waits for the device and for the waiter, and forgets what was reported. Nobody may launch meanwhile.
  void reset();

  // Reads and fences.
  Waiter& waiter() { return *waiter_; }

  void* take(size_t bytes);  // null when there is no room
  void give_back(void* memory);  // once the device is through with it
  void copy_in(void* device, const void* host, int64_t bytes);  // `host` may go when it returns
  void read_now(void* host, const void* device, int64_t bytes);  // waits
  void fill(void* device, int byte, int64_t bytes);

 private:
  struct Command {
    const char* op;
    std::string path;
    int64_t step;
    const char* format;
  };
  void* bytes(int slot, int64_t count);
  void wait();                  // for all that was launched; throws CUDA's own errors
  void forget(int64_t before);  // the device has passed that mark

  struct Uploads;

  static constexpr int kSlots = 8;
  Properties properties_;
  int ordinal_;
  CUstream_st* stream_ = nullptr;
  struct {
    void* memory = nullptr;
    int64_t size = 0;
  } scratch_[kSlots];
  Uploads* uploads_ = nullptr;  // pinned memory that uploads go through
  std::unique_ptr<Waiter> waiter_;
  Fault* fault_ = nullptr;  // seen by host and device
  // Of the thread that launches.
  const char* op_ = "";
  const std::string* path_ = nullptr;
  int64_t step_ = -1;
  int64_t forgotten_ = 0;  // the mark of the last forget() that was asked for
  // Reports that may still come, from number `first_` on. The thread that launches adds, the one that waits takes away.
  std::mutex mutex_;
  int64_t first_ = 0;
  std::deque<Command> reports_;
};

}  // namespace mixwright::cuda
