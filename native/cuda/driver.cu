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

void need(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  fail("CUDA, %s: %s", what, cudaGetErrorString(status));
}
}  // namespace

void require_cuda(CUstream_st* stream, cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // or the next launch would be told of it
  const cudaError_t since = cudaStreamQuery(stream);
  if (since == cudaSuccess || since == cudaErrorNotReady) fail("CUDA, %s: %s", what, cudaGetErrorString(status));
  cudaGetLastError();
  fail("CUDA, %s: %s, in this command or an earlier one. The driver gives this process no further work: it must be started anew;"
       " MIXWRIGHT_DEBUG=sync names the command", what, cudaGetErrorString(status));
}

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
  need(cudaGetDeviceProperties(&found, ordinal), "properties of a device");
  return {found.name, found.major, found.minor, found.multiProcessorCount, int64_t(found.totalGlobalMem),
          int64_t(found.sharedMemPerBlockOptin)};
}

// Uploads lie one behind the other in pinned pieces that take turns: the device takes them in the order of the stream while the host
// fills on. Only one that is three pieces of bytes ahead of the device waits for it.
struct Exec::Uploads {
  static constexpr int kPieces = 4;
  static constexpr int64_t kBytes = 4 << 20, kAligned = 256;

  struct Piece {
    char* memory = nullptr;
    cudaEvent_t passed = nullptr;
  };

  Uploads() {
    for (Piece& piece : pieces) {
      need(cudaHostAlloc(reinterpret_cast<void**>(&piece.memory), size_t(kBytes), cudaHostAllocDefault), "pinned memory");
      need(cudaEventCreateWithFlags(&piece.passed, cudaEventDisableTiming), "an event");
    }
  }
  ~Uploads() {
    for (Piece& piece : pieces) {
      cudaFreeHost(piece.memory);
      if (piece.passed) cudaEventDestroy(piece.passed);
    }
  }

  // Goes on to the next piece, when the device is through with what that one held.
  void turn(cudaStream_t stream) {
    require_cuda(stream, cudaEventRecord(pieces[at].passed, stream), "an event");
    at = (at + 1) % kPieces;
    used = 0;
    cudaError_t status = cudaEventQuery(pieces[at].passed);
    if (status == cudaErrorNotReady) status = cudaEventSynchronize(pieces[at].passed);
    require_cuda(stream, status, "uploads");
  }

  Piece pieces[kPieces];
  int at = 0;
  int64_t used = 0;  // of the present piece
};

Exec::Exec(int ordinal, bool inline_waits) : properties_(cuda::properties(ordinal)), ordinal_(ordinal) {
  need(cudaSetDevice(ordinal_), "choice of a device");
  need(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream");
  need(cudaHostAlloc(reinterpret_cast<void**>(&fault_), sizeof(Fault), cudaHostAllocMapped | cudaHostAllocPortable), "pinned memory");
  *fault_ = Fault{};
  uploads_ = new Uploads;
  waiter_ = std::make_unique<Waiter>(ordinal_, stream_, inline_waits);
}

Exec::~Exec() {
  cudaSetDevice(ordinal_);
  cudaStreamSynchronize(stream_);
  waiter_.reset();
  delete uploads_;
  for (auto& own : scratch_) {
    if (own.memory) cudaFree(own.memory);
  }
  cudaFreeHost(fault_);
  cudaStreamDestroy(stream_);
}

void Exec::wait() { require_cuda(stream_, cudaStreamSynchronize(stream_), "the device"); }

void Exec::finish() {
  if (cudaStreamSynchronize(stream_) != cudaSuccess) cudaGetLastError();
}

void Exec::use_here() { require_cuda(stream_, cudaSetDevice(ordinal_), "choice of a device"); }

void* Exec::take(size_t bytes) {
  use_here();
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  require_cuda(stream_, status, "memory");
  return memory;
}

// Destructors come here: an error that stays is told by whoever waits.
void Exec::give_back(void* memory) {
  if (cudaFree(memory) != cudaSuccess) cudaGetLastError();
}

void Exec::copy_in(void* device, const void* host, int64_t bytes) {
  for (int64_t done = 0; done < bytes;) {
    if (uploads_->used == Uploads::kBytes) uploads_->turn(stream_);
    const int64_t part = std::min(Uploads::kBytes - uploads_->used, bytes - done);
    char* const piece = uploads_->pieces[uploads_->at].memory + uploads_->used;
    std::memcpy(piece, static_cast<const char*>(host) + done, size_t(part));
    require_cuda(stream_, cudaMemcpyAsync(static_cast<char*>(device) + done, piece, size_t(part), cudaMemcpyHostToDevice, stream_),
                 "a copy to the device");
    uploads_->used += pieces(part, Uploads::kAligned) * Uploads::kAligned;
    done += part;
  }
}

void Exec::read_now(void* host, const void* device, int64_t bytes) {
  require_cuda(stream_, cudaMemcpyAsync(host, device, size_t(bytes), cudaMemcpyDeviceToHost, stream_), "a copy from the device");
  wait();
}

void Exec::fill(void* device, int byte, int64_t bytes) {
  require_cuda(stream_, cudaMemsetAsync(device, byte, size_t(bytes), stream_), "memory");
}

}  // namespace mixwright::cuda
