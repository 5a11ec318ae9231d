// Bytes moved: each element once. A block owns 32k elements of one tensor and a partial sum; one block adds these up.
#include "ops/sum_squares.h"

#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256, kAdders = 1024;
constexpr int64_t kChunk = 32768;

struct Tensor {
  const void* memory;
  int64_t size, first_chunk;
  bool wide;
};

// This thread's share of the squares of x [n].
template <class T>
__device__ double squares(const T* x, int64_t n) {
  constexpr int kPer = 16 / int(sizeof(T));
  double sums[kPer] = {};
  const bool aligned = reinterpret_cast<uintptr_t>(x) % 16 == 0;
  const int64_t vectors = aligned ? n / kPer : 0;
  const uint4* const packed = reinterpret_cast<const uint4*>(x);
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < vectors; i += kThreads) {
    const uint4 raw = packed[i];
    T four[kPer];
    std::memcpy(four, &raw, 16);
    for (int k = 0; k < kPer; k++) {
      const double value = widen(four[k]);
      sums[k] += value * value;
    }
  }
  for (int64_t i = vectors * kPer + threadIdx.x; i < n; i += kThreads) {
    const double value = widen(x[i]);
    sums[0] += value * value;
  }
  double total = 0;
  for (int k = 0; k < kPer; k++) total += sums[k];
  return total;
}

__global__ void __launch_bounds__(kThreads) sum_chunks(const Tensor* tensors, int64_t count, double* partial) {
  __shared__ double warps[33];
  int64_t low = 0, high = count;  // the last tensor that begins at or before this chunk
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (tensors[middle].first_chunk <= blockIdx.x) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const Tensor own = tensors[low];
  const int64_t begin = (blockIdx.x - own.first_chunk) * kChunk, n = min(kChunk, own.size - begin);
  const double sum = own.wide ? squares(static_cast<const float*>(own.memory) + begin, n)
                              : squares(static_cast<const bf16*>(own.memory) + begin, n);
  const double total = block_sum(sum, warps);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

__global__ void __launch_bounds__(kAdders) add_chunks(const double* partial, int64_t count, float* total) {
  __shared__ double warps[33];
  double sum = 0;
#pragma unroll 8
  for (int64_t i = threadIdx.x; i < count; i += kAdders) sum += partial[i];
  sum = block_sum(sum, warps);
  if (threadIdx.x == 0) *total = float(sum);
}

__global__ void clip(const float* total, float* norm, float* scale, double max_norm) {
  const double length = sqrt(double(*total)), ratio = max_norm / (length + 1e-6);
  *norm = float(length);
  *scale = ratio >= 1 ? 1.0f : float(ratio);  // NaN stays NaN: a broken gradient must not look clipped
}
}  // namespace

void sum_squares(Exec& exec, InList xs, Out total) {
  std::vector<Tensor> tensors;
  int64_t chunks = 0;
  for (const In& x : xs) {
    with_float_type(x.dtype, [&](auto) { tensors.push_back({x.memory, x.size(), chunks, x.dtype == DType::f32}); });
    chunks += pieces(x.size(), kChunk);
  }
  double* const partial = exec.scratch<double>(chunks, 0);
  launch(exec, sum_chunks, dim3(unsigned(chunks)), kThreads, 0, exec.upload(tensors, 1), int64_t(tensors.size()), partial);
  launch(exec, add_chunks, dim3(1), kAdders, 0, partial, chunks, total.data<float>());
}

void clip_scale(Exec& exec, In total, Out norm, Out scale, double max_norm) {
  launch(exec, clip, dim3(1), 1, 0, total.data<float>(), norm.data<float>(), scale.data<float>(), max_norm);
}

}  // namespace mixwright::cuda
