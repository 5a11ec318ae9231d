// Bytes moved: y once; normals spend their time in double logarithms and sines. A thread owns the four elements of a Philox
// block.
#include "ops/random.h"

#include <cmath>
#include <string>

#include "core/philox.h"
#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256;

template <class E>
struct alignas(4 * sizeof(E)) Four {
  E v[4];
};

struct Normal {
  double mean, std;

  __device__ void operator()(uint32_t a, uint32_t b, float (&values)[2]) const {
    const double radius = std * sqrt(-2 * log((double(a) + 1) * 0x1p-32));
    double sine, cosine;
    sincospi(double(b) * 0x1p-31, &sine, &cosine);
    values[0] = float(fma(radius, cosine, mean));
    values[1] = float(fma(radius, sine, mean));
  }
};

struct Uniform {
  double low, high;
  float top;  // the largest number of the format below `high`, which rounding must not reach

  __device__ void operator()(uint32_t a, uint32_t b, float (&values)[2]) const {
    values[0] = fminf(float(fma(high - low, double(uniform01(a)), low)), top);
    values[1] = fminf(float(fma(high - low, double(uniform01(b)), low)), top);
  }
};

// kFours: y is aligned to four elements.
template <class E, class DrawTwo, bool kFours>
__global__ __launch_bounds__(kThreads) void random_kernel(E* y, int64_t count, uint64_t seed, uint64_t stream,
                                                          DrawTwo draw_two) {
  grid_stride((count + 3) / 4, [&](int64_t block) {
    const PhiloxBlock words = philox(seed, stream, uint64_t(block));
    Four<E> four;
#pragma unroll
    for (int k = 0; k < 4; k += 2) {
      float values[2];
      draw_two(words.v[k], words.v[k + 1], values);
      narrow(values[0], four.v[k]);
      narrow(values[1], four.v[k + 1]);
    }
    if (kFours && 4 * block + 4 <= count) {
      reinterpret_cast<Four<E>*>(y)[block] = four;
    } else {
#pragma unroll
      for (int k = 0; k < 4; k++) {
        if (4 * block + k < count) y[4 * block + k] = four.v[k];
      }
    }
  });
}

template <class E, class DrawTwo>
void draw(Exec& exec, Out y, int64_t seed, int64_t stream, const DrawTwo& draw_two) {
  const bool fours = reinterpret_cast<uintptr_t>(y.memory) % sizeof(Four<E>) == 0;
  launch(exec, fours ? random_kernel<E, DrawTwo, true> : random_kernel<E, DrawTwo, false>,
         blocks_for(exec, pieces(y.size(), 4), kThreads), kThreads, 0, y.data<E>(), y.size(), uint64_t(seed), uint64_t(stream),
         draw_two);
}

float below(double high, float) {
  const float nearest = float(high);
  return double(nearest) < high ? nearest : std::nextafter(nearest, -INFINITY);
}

float below(double high, bf16) {
  const float value = below(high, float{});
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if (bits >> 31) bits += 0xffffu;  // away from zero, which is down
  return widen(bf16{uint16_t(bits >> 16)});
}
}  // namespace

void random_normal(Exec& exec, Out y, double mean, double std, int64_t seed, int64_t stream) {
  with_float_type(y.dtype, [&](auto type) { draw<decltype(type)>(exec, y, seed, stream, Normal{mean, std}); });
}

void random_uniform(Exec& exec, Out y, double low, double high, int64_t seed, int64_t stream) {
  if (!(low < high)) {
    throw KernelError("the range is from " + std::to_string(low) + " to " + std::to_string(high) + ", which holds no number");
  }
  with_float_type(y.dtype, [&](auto type) {
    draw<decltype(type)>(exec, y, seed, stream, Uniform{low, high, below(high, type)});
  });
}

}  // namespace mixwright::cuda
