// Starting kernels, and what every kernel file needs: CUDA's own words, or the emulator's (test/native/cuda), which runs the
// same kernels on the CPU.
#pragma once
#include <cuda_runtime.h>  // with MW_CUDA_EMULATED, that of test/native/cuda

#include <algorithm>

#include "core/checks.h"
#include "core/dtype.h"
#include "cuda/exec.h"

// Memory of a block whose size the launch says: MW_SHARED(float, tile);
#ifdef MW_CUDA_EMULATED
#define MW_SHARED(T, name) T* const name = static_cast<T*>(::emulator::dynamic_shared())
#else
#define MW_SHARED(T, name)                                        \
  extern __shared__ __align__(128) unsigned char mw_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(mw_dynamic_shared)
#endif

namespace mixwright::cuda {

constexpr int kWarp = 32;

// A limit whose other side only large sizes reach: small on the emulated device, so that tests of small sizes take both sides.
#ifdef MW_CUDA_EMULATED
constexpr int64_t limit(int64_t, int64_t emulated) { return emulated; }
#else
constexpr int64_t limit(int64_t real, int64_t) { return real; }
#endif

// Throws KernelError for what CUDA refuses. Some errors stay with the process: then the stream says so too, and the message.
void require_cuda(CUstream_st* stream, cudaError_t status, const char* what);

// Beside the shared memory whose size the launch says, kernels have fixed arrays of up to this.
constexpr int64_t kFixedShared = 8 << 10;

// Enqueues kernel<<<grid, threads, shared_bytes>>>(args...). An empty grid launches nothing. Throws KernelError for what the
// device doesn't take.
template <class... Params, class... Args>
void launch(Exec& exec, void (*kernel)(Params...), dim3 grid, int threads, int64_t shared_bytes, const Args&... args) {
  static_assert(sizeof...(Params) == sizeof...(Args), "as many arguments as the kernel takes");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535 || threads < 1 || threads > 1024) {
    fail("grid %u × %u × %u of %d threads is more than a launch takes", grid.x, grid.y, grid.z, threads);
  }
  if (shared_bytes > exec.properties().shared_bytes) {
    fail("%lld bytes of shared memory, the device has %lld a block", (long long)shared_bytes,
         (long long)exec.properties().shared_bytes);
  }
#ifdef MW_CUDA_EMULATED
  emulator::launch(exec.stream(), grid, threads, size_t(shared_bytes), [=] { kernel(static_cast<Params>(args)...); });
#else
  if (shared_bytes > (48 << 10) - kFixedShared) {  // 48 KB need no asking
    // The same for each launch of a kernel: another stream's may come between.
    const int64_t most = std::max(shared_bytes, exec.properties().shared_bytes - kFixedShared);
    require_cuda(exec.stream(), cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(most)), "shared memory");
  }
  kernel<<<grid, threads, size_t(shared_bytes), exec.stream()>>>(static_cast<Params>(args)...);
  require_cuda(exec.stream(), cudaGetLastError(), "a launch");
#endif
}

inline int64_t pieces(int64_t count, int64_t size) { return (count + size - 1) / size; }

// Blocks of a kernel whose threads walk `count` elements with a stride of the whole grid (see grid_stride).
inline dim3 blocks_for(Exec& exec, int64_t count, int threads) {
  const int64_t most = int64_t(exec.properties().multiprocessors) * 16;
  const int64_t wanted = pieces(count, threads);
  return dim3(unsigned(wanted < most ? wanted : most));
}

// body(i) for every i in [0, count), shared out over all threads of the grid.
template <class Body>
__device__ inline void grid_stride(int64_t count, const Body& body) {
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += int64_t(gridDim.x) * blockDim.x) body(i);
}

__device__ inline float load_float(const float* p) { return *p; }
__device__ inline float load_float(const bf16* p) { return widen(*p); }
__device__ inline void store_float(float* p, float x) { *p = x; }
__device__ inline void store_float(bf16* p, float x) { narrow(x, *p); }

// Sums and maxima over a warp, all 32 lanes of which take part; every lane has the result. A fixed order: equal bits.
__device__ inline float warp_sum(float x) {
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}
__device__ inline double warp_sum(double x) {
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}
__device__ inline float warp_max(float x) {
  for (int offset = 16; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, offset));
  return x;
}

// The same over a block of whole warps; `warps` is shared memory for 33 values. All threads have the result.
template <class T, class Combine>
__device__ inline T block_combine(T x, T* warps, T neutral, const Combine& combine) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, count = int(blockDim.x) / kWarp;
  x = combine(x);
  __syncthreads();  // `warps` may still be read from the call before
  if (lane == 0) warps[warp] = x;
  __syncthreads();
  if (warp == 0) {
    const T total = combine(lane < count ? warps[lane] : neutral);
    if (lane == 0) warps[32] = total;
  }
  __syncthreads();
  return warps[32];
}
template <class T>
__device__ inline T block_sum(T x, T* warps) {
  return block_combine(x, warps, T(0), [](T v) { return warp_sum(v); });
}
__device__ inline float block_max(float x, float* warps) {
  return block_combine(x, warps, -INFINITY, [](float v) { return warp_max(v); });
}

// Keeps the first report: see fault.h.
__device__ inline void report(const Report& to, int64_t a, int64_t b = 0, int64_t c = 0) {
  if (atomicCAS(&to.fault->taken, 0, 1) != 0) return;
  to.fault->report = to.id;
  to.fault->numbers[0] = a;
  to.fault->numbers[1] = b;
  to.fault->numbers[2] = c;
  __threadfence_system();
  *const_cast<volatile int32_t*>(&to.fault->ready) = 1;
}

}  // namespace mixwright::cuda
