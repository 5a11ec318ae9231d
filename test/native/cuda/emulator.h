// CUDA's words for plain C++: kernels compiled with it run on the CPU, block after block, each thread of a block a fiber that
// gives way at barriers. It is there to test kernels, not to be fast:
// - the order of threads and blocks turns round from launch to launch, so that a missing barrier shows;
// - shared memory starts as NaN, and a block that wrote to the 1024 bytes before or after the dynamic one ends the process;
// - asynchronous copies happen when they are waited for, or at once in every third and fourth launch.
// Warp functions need all threads of the warp that still run.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static thread_local
#define __launch_bounds__(...)
#define __restrict__
#define __align__(n) alignas(n)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
inline float2 make_float2(float a, float b) { return {a, b}; }
inline float4 make_float4(float a, float b, float c, float d) { return {a, b, c, d}; }
inline uint2 make_uint2(unsigned a, unsigned b) { return {a, b}; }
inline uint4 make_uint4(unsigned a, unsigned b, unsigned c, unsigned d) { return {a, b, c, d}; }

struct CUstream_st;

namespace emulator {

struct Indices {
  dim3 threadIdx, blockIdx, blockDim, gridDim;
};
Indices& indices();  // of the running fiber

// On the emulated device's thread.
void run(dim3 grid, int threads, size_t shared_bytes, const std::function<void()>& kernel);
// Enqueues it there.
void launch(CUstream_st* stream, dim3 grid, int threads, size_t shared_bytes, std::function<void()> kernel);
void* dynamic_shared();
void block_barrier();
int block_barrier_count(int predicate);  // threads with a predicate
void warp_barrier();
int lane();
// 64 bytes of each lane of the running fiber's warp.
struct alignas(64) LaneSlot { unsigned char bytes[64]; };
LaneSlot* warp_slots();

template <class T>
T exchange(T value, int from) {
  static_assert(sizeof(T) <= sizeof(LaneSlot), "fits a slot");
  LaneSlot* const slots = warp_slots();
  std::memcpy(slots[lane()].bytes, &value, sizeof(T));
  warp_barrier();
  T result;
  std::memcpy(&result, slots[from].bytes, sizeof(T));
  warp_barrier();
  return result;
}

void copy_async(void* shared, const void* global, int valid);
void copy_commit();
void copy_wait(int groups);

}  // namespace emulator

#define threadIdx (::emulator::indices().threadIdx)
#define blockIdx (::emulator::indices().blockIdx)
#define blockDim (::emulator::indices().blockDim)
#define gridDim (::emulator::indices().gridDim)
constexpr int warpSize = 32;

inline void __syncthreads() { emulator::block_barrier(); }
inline int __syncthreads_count(int p) { return emulator::block_barrier_count(p); }
inline int __syncthreads_or(int p) { return emulator::block_barrier_count(p) > 0; }
inline void __syncwarp(unsigned = 0xffffffffu) { emulator::warp_barrier(); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() { std::atomic_thread_fence(std::memory_order_seq_cst); }

template <class T> T __shfl_sync(unsigned, T x, int from, int = 32) { return emulator::exchange(x, from & 31); }
template <class T> T __shfl_xor_sync(unsigned, T x, int mask, int = 32) { return emulator::exchange(x, emulator::lane() ^ mask); }
template <class T> T __shfl_up_sync(unsigned, T x, unsigned by, int = 32) {
  const int from = emulator::lane() - int(by);
  return emulator::exchange(x, from < 0 ? emulator::lane() : from);
}
template <class T> T __shfl_down_sync(unsigned, T x, unsigned by, int = 32) {
  const int from = emulator::lane() + int(by);
  return emulator::exchange(x, from > 31 ? emulator::lane() : from);
}
unsigned __ballot_sync(unsigned mask, int predicate);
inline int __any_sync(unsigned mask, int p) { return __ballot_sync(mask, p) != 0; }
inline int __all_sync(unsigned mask, int p) { return __ballot_sync(mask, !p) == 0; }
template <class T> T __reduce_max_sync(unsigned mask, T x) {
  for (int by = 16; by > 0; by /= 2) x = std::max(x, __shfl_xor_sync(mask, x, by));
  return x;
}
template <class T> T __reduce_min_sync(unsigned mask, T x) {
  for (int by = 16; by > 0; by /= 2) x = std::min(x, __shfl_xor_sync(mask, x, by));
  return x;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(unsigned(x)); }

template <class T> T atomicAdd(T* at, T by) { const T old = *at; *at = T(old + by); return old; }
template <class T> T atomicMax(T* at, T by) { const T old = *at; *at = std::max(old, by); return old; }
template <class T> T atomicMin(T* at, T by) { const T old = *at; *at = std::min(old, by); return old; }
template <class T> T atomicOr(T* at, T by) { const T old = *at; *at = T(old | by); return old; }
template <class T> T atomicExch(T* at, T to) { const T old = *at; *at = to; return old; }
template <class T> T atomicCAS(T* at, T compare, T to) { const T old = *at; if (old == compare) *at = to; return old; }
template <class T> T __ldg(const T* at) { return *at; }

inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline void sincospi(double x, double* s, double* c) { *s = std::sin(M_PI * x); *c = std::cos(M_PI * x); }
inline unsigned __float_as_uint(float x) { unsigned u; std::memcpy(&u, &x, 4); return u; }
inline float __uint_as_float(unsigned u) { float x; std::memcpy(&x, &u, 4); return x; }
inline int __float_as_int(float x) { int u; std::memcpy(&u, &x, 4); return u; }
inline float __int_as_float(int u) { float x; std::memcpy(&x, &u, 4); return x; }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
using std::isfinite;
using std::isnan;
using std::max;
using std::min;

namespace mixwright::cuda {
inline void copy_async(void* shared, const void* global, int valid = 16) { emulator::copy_async(shared, global, valid); }
inline void copy_commit() { emulator::copy_commit(); }
template <int N> void copy_wait() { emulator::copy_wait(N); }
void load_matrices_emulated(uint32_t (&r)[4], const void* row, bool transpose);
template <bool kTranspose> void load_matrices(uint32_t (&r)[4], const void* row) { load_matrices_emulated(r, row, kTranspose); }
uint32_t pack_bf16(float low, float high);
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
}  // namespace mixwright::cuda
