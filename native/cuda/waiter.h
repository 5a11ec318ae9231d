// The second thread of a device. It waits for the stream, so that the thread that launches doesn't: reads, fences and whatever
// else the host does once the device got somewhere. In debug mode `sync` there is no such thread, and whoever asks waits.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

struct CUevent_st;
struct CUstream_st;

namespace mixwright::cuda {

// What gets the bytes of a read, piece by piece: `count` of them from byte `at` on. A piece holds whole elements.
using Arrive = std::function<void(const char* bytes, int64_t at, int64_t count)>;

class Waiter {
 public:
  Waiter(int ordinal, CUstream_st* stream, bool inline_waits);
  ~Waiter();  // once all that it was given is done
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // Calls then() once the device has done what has been launched so far; in the order of these calls, whatever went wrong.
  // `then` doesn't throw.
  void after(std::function<void()> then);
  // Enqueues a copy of device memory, through pinned memory; `arrive` is called as `then` above. Waits only where a read is so large
  // that the pinned memory has no room. Throws CUDA's own errors.
  void copy_out(const void* device, int64_t bytes, const Arrive& arrive);

  void drain();  // waits until all that it was given is done
  void reset();  // the same, and forgets the error that it met
  // Throws CUDA's error that it met, if it met one.
  void check() const;

 private:
  struct Item {
    CUevent_st* event;  // null: CUDA refused it
    std::function<void()> then;
    int64_t landed;  // pinned memory up to here may be filled anew
  };

  void push(std::function<void()> then);
  CUevent_st* record();
  void finish(Item item);
  char* room(int64_t bytes);
  void loop();

  CUstream_st* const stream_;
  const int ordinal_;
  const bool inline_;
  // Pinned memory in a ring: both numbers count all bytes that were ever taken and given back.
  char* memory_ = nullptr;
  int64_t taken_ = 0;   // of the thread that launches
  int64_t landed_ = 0;  // with the lock, as what follows
  std::deque<Item> items_;
  std::vector<CUevent_st*> events_;  // to be used again
  bool stop_ = false;
  std::mutex mutex_;
  std::condition_variable arrived_, left_;
  std::atomic<int> error_{0};
  std::thread thread_;
};

}  // namespace mixwright::cuda
