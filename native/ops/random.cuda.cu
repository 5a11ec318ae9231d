// Bytes moved: y once; normals spend their time in double logarithms and sines. A thread owns the four elements of a Philox
// block.
#include "ops/random.h"

#include <string>

#include "core/philox.h"
#include "cuda/fours.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256;

struct Normal {
  double mean, std;

  __device__ void operator()(uint32_t a, uint32_t b, float& x, float& y) const {
    const double radius = std * sqrt(-2 * log((double(a) + 1) * 0x1p-32));
    double sine, cosine;
    sincospi(double(b) * 0x1p-31, &sine, &cosine);
    x = float(fma(radius, cosine, mean));
    y = float(fma(radius, sine, mean));
  }
};

struct Uniform {
  double low, high;
  float top;  // the largest number of the format below `high`, which rounding must not reach

  __device__ void operator()(uint32_t a, uint32_t b, float& x, float& y) const {
    x = fminf(float(fma(high - low, double(uniform01(a)), low)), top);
    y = fminf(float(fma(high - low, double(uniform01(b)), low)), top);
  }
};

template <class E, class DrawTwo>
__global__ __launch_bounds__(kThreads) void random_kernel(E* y, int64_t count, uint64_t seed, uint64_t stream,
                                                          DrawTwo draw_two, bool aligned) {
  grid_stride((count + 3) / 4, [&](int64_t block) {
    const PhiloxBlock words = philox(seed, stream, uint64_t(block));
    float four[4];
#pragma unroll
    for (int k = 0; k < 4; k += 2) draw_two(words.v[k], words.v[k + 1], four[k], four[k + 1]);
    store_four(y + 4 * block, four, count - 4 * block, aligned);
  });
}

template <class E, class DrawTwo>
void draw(Exec& exec, Out y, int64_t seed, int64_t stream, const DrawTwo& draw_two) {
  launch(exec, random_kernel<E, DrawTwo>, blocks_for(exec, pieces(y.size(), 4), kThreads), kThreads, 0, y.data<E>(), y.size(),
         uint64_t(seed), uint64_t(stream), draw_two, by_fours(0, y));
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
