// CUDA's own calls behind Exec: devices, memory, copies, waiting.
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstring>

#include "cuda/exec.h"
#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
std::string version_text(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

// An error that stays: every later call in this process fails as well.
[[noreturn]] void fail_for_good(cudaError_t status) {
  cudaGetLastError();
  fail("CUDA: %s. The driver gives this process no further work: it must be started anew", cudaGetErrorString(status));
}

void need(cudaError_t status) {
  if (status != cudaSuccess) fail_for_good(status);
}
}  // namespace

std::string why_no_device() {
  int count = 0, driver = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return "";
  cudaDriverGetVersion(&driver);
  cudaGetLastError();
  if (driver == 0 && !dlopen("libcuda.so.1", RTLD_NOW)) {
    return std::string("the NVIDIA driver's library does not load: ") + dlerror();
  }
  if (status == cudaErrorInsufficientDriver) {
    return "the NVIDIA driver is too old: it runs CUDA " + version_text(driver) + ", this build needs " + version_text(CUDART_VERSION);
  }
  if (status == cudaSuccess || status == cudaErrorNoDevice) return "the NVIDIA driver finds no device";
  return "the NVIDIA driver answers with error " + std::to_string(status) + ": " + cudaGetErrorString(status);
}

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count;
}

Properties properties(int ordinal) {
  cudaDeviceProp found;
  need(cudaGetDeviceProperties(&found, ordinal));
  return {found.name, found.major, found.minor, found.multiProcessorCount, int64_t(found.totalGlobalMem),
          int64_t(found.sharedMemPerBlockOptin)};
}

// Copies go through pinned pieces in turn: the device takes them in stream order while the host fills the next ones. Only a copy
// that is more than the whole ring ahead of the device waits for it.
struct Exec::Ring {
  static constexpr int kPieces = 4;
  static constexpr int64_t kBytes = 4 << 20;

  struct Piece {
    char* memory = nullptr;
    cudaEvent_t passed = nullptr;
  };

  Ring() {
    for (Piece& piece : pieces) {
      need(cudaHostAlloc(reinterpret_cast<void**>(&piece.memory), size_t(kBytes), cudaHostAllocDefault));
      need(cudaEventCreateWithFlags(&piece.passed, cudaEventDisableTiming));
    }
  }
  ~Ring() {
    for (Piece& piece : pieces) {
      cudaFreeHost(piece.memory);
      if (piece.passed) cudaEventDestroy(piece.passed);
    }
  }

  // The next piece, when the device is through with what it held.
  Piece& take() {
    Piece& piece = pieces[next];
    next = (next + 1) % kPieces;
    need(cudaEventSynchronize(piece.passed));
    return piece;
  }

  Piece pieces[kPieces];
  int next = 0;
};

Exec::Exec(int ordinal) : properties_(cuda::properties(ordinal)), ordinal_(ordinal) {
  need(cudaSetDevice(ordinal_));
  need(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  need(cudaHostAlloc(reinterpret_cast<void**>(&fault_), sizeof(Fault), cudaHostAllocMapped | cudaHostAllocPortable));
  *fault_ = Fault{};
  ring_ = new Ring;
}

Exec::~Exec() {
  cudaSetDevice(ordinal_);
  cudaStreamSynchronize(stream_);
  delete ring_;
  for (auto& own : scratch_) {
    if (own.memory) cudaFree(own.memory);
  }
  cudaFreeHost(fault_);
  cudaStreamDestroy(stream_);
}

void Exec::wait() { need(cudaStreamSynchronize(stream_)); }

void Exec::use_here() { need(cudaSetDevice(ordinal_)); }

void* Exec::take(size_t bytes) {
  need(cudaSetDevice(ordinal_));
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  need(status);
  return memory;
}

// Destructors come here: an error that stays is told by whoever waits.
void Exec::give_back(void* memory) {
  if (cudaFree(memory) != cudaSuccess) cudaGetLastError();
}

void Exec::copy_in(void* device, const void* host, int64_t bytes) {
  for (int64_t done = 0; done < bytes; done += Ring::kBytes) {
    const size_t part = size_t(std::min(Ring::kBytes, bytes - done));
    Ring::Piece& piece = ring_->take();
    std::memcpy(piece.memory, static_cast<const char*>(host) + done, part);
    need(cudaMemcpyAsync(static_cast<char*>(device) + done, piece.memory, part, cudaMemcpyHostToDevice, stream_));
    need(cudaEventRecord(piece.passed, stream_));
  }
}

void Exec::copy_out(void* host, const void* device, int64_t bytes) {
  struct {
    Ring::Piece* piece;
    int64_t at, bytes;
  } last = {nullptr, 0, 0};
  const auto finish = [&] {
    if (!last.piece) return;
    need(cudaEventSynchronize(last.piece->passed));
    std::memcpy(static_cast<char*>(host) + last.at, last.piece->memory, size_t(last.bytes));
  };
  for (int64_t done = 0; done < bytes; done += Ring::kBytes) {
    const int64_t part = std::min(Ring::kBytes, bytes - done);
    Ring::Piece& piece = ring_->take();
    need(cudaMemcpyAsync(piece.memory, static_cast<const char*>(device) + done, size_t(part), cudaMemcpyDeviceToHost, stream_));
    need(cudaEventRecord(piece.passed, stream_));
    finish();
    last = {&piece, done, part};
  }
  finish();
}

void Exec::fill(void* device, int byte, int64_t bytes) { need(cudaMemsetAsync(device, byte, size_t(bytes), stream_)); }

}  // namespace mixwright::cuda
