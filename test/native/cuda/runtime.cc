// The emulated device: one thread, which does what all streams were given in the order they were given it.
#include <malloc.h>

#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <thread>

#include "cuda_runtime.h"

struct CUstream_st {
  std::atomic<uint64_t> last{0};  // number of what it was given last
};
struct CUevent_st {
  uint64_t after = 0;
};

namespace emulator {
namespace {
constexpr size_t kMostWaiting = 1024;  // then a launch blocks, as with a GPU
std::atomic<int> broken{0}, waits{0};
thread_local bool launches = false;

class Gpu {
 public:
  Gpu() {
    std::thread([this] { loop(); }).detach();
  }
  void give(CUstream_st* stream, std::function<void()> work) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return work_.size() < kMostWaiting; });
    work_.push_back(std::move(work));
    stream->last = ++given_;
    changed_.notify_all();
  }
  bool passed(uint64_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return done_ >= number;
  }
  void wait(uint64_t number) {
    if (launches) waits++;
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return done_ >= number; });
  }

 private:
  void loop() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return !work_.empty(); });
      const std::function<void()> work = std::move(work_.front());
      lock.unlock();
      work();
      lock.lock();
      work_.pop_front();
      done_++;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  uint64_t given_ = 0, done_ = 0;
};

// Never destroyed: its thread runs as long as the process.
Gpu& gpu() {
  static Gpu* const one = new Gpu;
  return *one;
}

cudaError_t state() { return cudaError_t(broken.load()); }

cudaError_t allocate(void** memory, size_t bytes) {
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  return *memory ? state() : cudaErrorMemoryAllocation;
}

// What still uses the memory finds NaN.
cudaError_t release(void* memory) {
  if (memory) std::memset(memory, 0xff, malloc_usable_size(memory));
  std::free(memory);
  return state();
}

[[maybe_unused]] const bool told = [] {
  if (std::getenv("EMULATED_WAITS")) {
    std::atexit([] { std::fprintf(stderr, "emulator: a thread that launches has waited %d times\n", waits.load()); });
  }
  return true;
}();
}  // namespace

int launching_waits() { return waits; }
void break_device(cudaError_t status) { broken = status; }

void launch(CUstream_st* stream, dim3 grid, int threads, size_t shared_bytes, std::function<void()> kernel) {
  launches = true;
  gpu().give(stream, [=, kernel = std::move(kernel)] { run(grid, threads, shared_bytes, kernel); });
}
}  // namespace emulator

using namespace emulator;

const char* cudaGetErrorString(cudaError_t status) {
  return status == cudaErrorMemoryAllocation ? "out of memory" : status == cudaErrorIllegalAddress ? "an illegal memory access" : "an error";
}
cudaError_t cudaGetLastError() { return state(); }
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
// Shared memory of a block as a GPU of compute capability 8.0 has it, or EMULATED_SHARED_KB: 99 of 8.6 and 8.9.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  const char* const given = std::getenv("EMULATED_SHARED_KB");
  *properties = {"emulated", 8, 0, 4, size_t(8) << 30, size_t(given ? std::atoi(given) : 160) << 10};
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return state(); }
cudaError_t cudaMalloc(void** memory, size_t bytes) { return allocate(memory, bytes); }
cudaError_t cudaFree(void* memory) { return release(memory); }
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) { return allocate(memory, bytes); }
cudaError_t cudaFreeHost(void* memory) { return release(memory); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  return state();
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  gpu().wait(stream->last);
  delete stream;
  return state();
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  gpu().wait(stream->last);
  return state();
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return state() != cudaSuccess ? state() : gpu().passed(stream->last) ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return state();
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return state();
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->after = stream->last;
  return state();
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  gpu().wait(event->after);
  return state();
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return state() != cudaSuccess ? state() : gpu().passed(event->after) ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  gpu().give(stream, [=] { std::memcpy(to, from, bytes); });
  return state();
}
cudaError_t cudaMemsetAsync(void* memory, int byte, size_t bytes, cudaStream_t stream) {
  gpu().give(stream, [=] { std::memset(memory, byte, bytes); });
  return state();
}
