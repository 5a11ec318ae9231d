// Memory of one device, taken and given back at enqueue time (house rule S1). Because the stream is in order, a block that
// is given back may serve the next command at once: whatever still reads it runs first. Blocks of a size class are kept
// for reuse; `trim` hands all spare ones back, once the stream has passed their last reader.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <vector>

namespace mixwright {

struct OutOfMemory : std::runtime_error {
  OutOfMemory(const char* what, int64_t asked, int64_t live) : std::runtime_error(what), bytes(asked), live_bytes(live) {}
  int64_t bytes, live_bytes;
};

class Pool {
 public:
  struct Source {
    std::function<void*(size_t)> take;     // null when there is no room
    std::function<void(void*, size_t)> give_back;
    std::function<void()> settle;          // waits until nothing enqueued can still touch a spare block
  };

  Pool(Source source, int64_t limit_bytes) : source_(std::move(source)), limit_(limit_bytes), spare_(kClasses) {}
  ~Pool() { give_back_spare(); }  // the stream has ended by then
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // A block of at least `bytes`, aligned to 64. Throws OutOfMemory.
  void* take(int64_t bytes);
  void give_back(void* block, int64_t bytes);
  void trim();

  // The bytes a request of `bytes` really takes: four classes an octave, so at most a quarter is lost.
  static int64_t rounded(int64_t bytes);

  int64_t live_bytes() const { return live_; }
  int64_t peak_bytes() const { return peak_; }
  int64_t spare_bytes() const { return spare_bytes_; }

 private:
  static constexpr int kClasses = 4 * 48;
  static int class_of(int64_t rounded_bytes);
  static int64_t bytes_of_class(int index);
  void give_back_spare();

  Source source_;
  int64_t limit_;
  int64_t live_ = 0, peak_ = 0, spare_bytes_ = 0;
  std::vector<std::vector<void*>> spare_;
};

}  // namespace mixwright
