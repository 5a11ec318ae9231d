#include "cuda/waiter.h"

#include <algorithm>
#include <utility>

#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
constexpr int64_t kRing = 8 << 20, kPart = 2 << 20, kAligned = 256;
}  // namespace

Waiter::Waiter(int ordinal, CUstream_st* stream, bool inline_waits) : stream_(stream), ordinal_(ordinal), inline_(inline_waits) {
  require_cuda(stream_, cudaHostAlloc(reinterpret_cast<void**>(&memory_), size_t(kRing), cudaHostAllocDefault), "pinned memory");
  if (!inline_) thread_ = std::thread([this] { loop(); });
}

Waiter::~Waiter() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  arrived_.notify_one();
  if (thread_.joinable()) thread_.join();
  for (cudaEvent_t event : events_) cudaEventDestroy(event);
  cudaFreeHost(memory_);
}

void Waiter::after(std::function<void()> then) { push(std::move(then)); }

void Waiter::copy_out(const void* device, int64_t bytes, const Arrive& arrive) {
  for (int64_t done = 0; done < bytes; done += kPart) {
    const int64_t part = std::min(kPart, bytes - done);
    char* const piece = room(part);
    require_cuda(stream_, cudaMemcpyAsync(piece, static_cast<const char*>(device) + done, size_t(part), cudaMemcpyDeviceToHost, stream_),
                 "a copy from the device");
    push([arrive, piece, done, part] { arrive(piece, done, part); });
  }
}

// A piece of the ring. What has been taken of it is in the hands of items: it comes back as the device gets through with them.
char* Waiter::room(int64_t bytes) {
  const int64_t size = pieces(bytes, kAligned) * kAligned, at = taken_ % kRing;
  if (at + size > kRing) taken_ += kRing - at;  // in one piece
  taken_ += size;
  std::unique_lock<std::mutex> lock(mutex_);
  left_.wait(lock, [this] { return taken_ - landed_ <= kRing || items_.empty(); });
  return memory_ + (taken_ - size) % kRing;
}

void Waiter::push(std::function<void()> then) {
  Item item{record(), std::move(then), taken_};
  if (inline_) {
    finish(std::move(item));
    landed_ = taken_;
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    items_.push_back(std::move(item));
  }
  arrived_.notify_one();
}

CUevent_st* Waiter::record() {
  cudaEvent_t event = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!events_.empty()) {
      event = events_.back();
      events_.pop_back();
    }
  }
  cudaError_t status = cudaSuccess;
  if (!event) {
    cudaSetDevice(ordinal_);  // in debug mode `sync`, and when the device closes, on a thread that may have used another one
    status = cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync);  // waits asleep
  }
  if (status == cudaSuccess) status = cudaEventRecord(event, stream_);
  if (status != cudaSuccess) error_ = int(status);
  return event;
}

void Waiter::finish(Item item) {
  if (item.event) {
    const cudaError_t status = cudaEventSynchronize(item.event);
    if (status != cudaSuccess) error_ = int(status);
  }
  item.then();
  if (!item.event) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  events_.push_back(item.event);
}

void Waiter::loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    arrived_.wait(lock, [this] { return stop_ || !items_.empty(); });
    if (items_.empty()) return;
    const int64_t landed = items_.front().landed;
    Item item = std::move(items_.front());
    lock.unlock();
    finish(std::move(item));
    lock.lock();
    items_.pop_front();  // only now: drain() waits for it
    landed_ = landed;
    left_.notify_all();
  }
}

void Waiter::drain() {
  std::unique_lock<std::mutex> lock(mutex_);
  left_.wait(lock, [this] { return items_.empty(); });
}

void Waiter::reset() {
  drain();
  error_ = 0;
}

void Waiter::check() const { require_cuda(stream_, cudaError_t(error_.load()), "the device"); }

}  // namespace mixwright::cuda
