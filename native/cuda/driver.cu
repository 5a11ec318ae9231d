// CUDA's own calls behind Exec: devices, memory, copies, waiting.
#include <cuda_runtime.h>

#include <cstring>

#include "cuda/exec.h"
#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
std::string version_text(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

// An error that stays: every later call in this process fails as well.
[[noreturn]] void fail_for_good(cudaError_t status) {
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
  if (driver == 0) return "no NVIDIA driver was found";
  if (status == cudaErrorInsufficientDriver) {
    return "the NVIDIA driver is too old: it runs CUDA " + version_text(driver) + ", this build needs " + version_text(CUDART_VERSION);
  }
  if (status == cudaSuccess || status == cudaErrorNoDevice) return "the NVIDIA driver finds no device";
  return cudaGetErrorString(status);
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

Exec::Exec(int ordinal) : properties_(cuda::properties(ordinal)), ordinal_(ordinal) {
  need(cudaSetDevice(ordinal_));
  need(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  need(cudaHostAlloc(reinterpret_cast<void**>(&fault_), sizeof(Fault), cudaHostAllocMapped | cudaHostAllocPortable));
  *fault_ = Fault{};
}

Exec::~Exec() {
  cudaSetDevice(ordinal_);
  cudaStreamSynchronize(stream_);
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

void Exec::give_back(void* memory) { need(cudaFree(memory)); }

// From memory that isn't pinned CUDA copies into a buffer of its own before it returns, or waits.
void Exec::copy_in(void* device, const void* host, int64_t bytes) {
  need(cudaMemcpyAsync(device, host, size_t(bytes), cudaMemcpyHostToDevice, stream_));
}

void Exec::copy_out(void* host, const void* device, int64_t bytes) {
  need(cudaMemcpyAsync(host, device, size_t(bytes), cudaMemcpyDeviceToHost, stream_));
  wait();
}

void Exec::fill(void* device, int byte, int64_t bytes) { need(cudaMemsetAsync(device, byte, size_t(bytes), stream_)); }

}  // namespace mixwright::cuda
