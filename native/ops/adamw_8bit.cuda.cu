// Bytes moved: 16 an element and 16 a block of moments (gradient, parameter, two codes; the last three also written), 18 with a
// bf16 parameter. A warp owns a block: a lane four neighbours in each half of it. The tables are copied to shared memory, so
// thread blocks are no more than the device holds, and warps walk the blocks of moments with a stride of the whole grid.
// After a failure (a gradient that isn't finite) nothing is changed.
#include "ops/adamw_8bit.h"

#include <cmath>
#include <vector>

#include "core/update_lists.h"
#include "cuda/rows.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256, kWarps = kThreads / kWarp, kHalves = 2;
static_assert(kMomentBlock == kHalves * kWarp * 4, "four elements a lane in each half");

struct Tensor8 {
  const float* grad;
  float* param;
  bf16* rounded;  // null: the parameter is f32
  uint8_t *first, *second;
  float *first_scale, *second_scale;
  int64_t size, first_block;
  bool quads;
};

struct Tables {
  Magnitudes with_sign, without;
};
static_assert(sizeof(Tables) % 4 == 0, "copied by words");

struct Rule {
  float rate, root, fresh1, fresh2, floor, shrink, l2;

  __device__ float operator()(float p, float g, float& m, float& v) const {  // as in adamw
    g = fmaf(l2, p, g);
    m = fmaf(fresh1, g - m, m);
    v = fmaf(fresh2, fmaf(g, g, -v), v);
    return p - fmaf(shrink, p, rate * m / fmaf(root, sqrtf(v), floor));
  }
};

template <class T>
__device__ inline void load_some(const T* from, int64_t left, bool quads, float* to) {
  if (quads && left >= 4) {
    const Floats<4> four = load_floats<4>(from);
    for (int k = 0; k < 4; k++) to[k] = four.at[k];
  } else {
    for (int k = 0; k < 4; k++) to[k] = k < left ? load_float(from + k) : 0;
  }
}

template <class T>
__device__ inline void store_some(T* to, int64_t left, bool quads, const float* from) {
  if (quads && left >= 4) {
    store_floats(to, Floats<4>{{from[0], from[1], from[2], from[3]}});
  } else {
    for (int k = 0; k < 4; k++) {
      if (k < left) store_float(to + k, from[k]);
    }
  }
}

__device__ inline uint8_t byte_of(uint32_t word, int k) { return uint8_t(word >> (8 * k)); }

__device__ inline void update_block(const Tensor8& own, int64_t block, float scale, const Rule& rule, const Tables& tables) {
  float m[kHalves][4], v[kHalves][4];
  const float scale1 = own.first_scale[block], scale2 = own.second_scale[block];
  float top1 = 0, top2 = 0;
  const int64_t begin = block * kMomentBlock + threadIdx.x % kWarp * 4;
#pragma unroll
  for (int half = 0; half < kHalves; half++) {
    const int64_t i = begin + half * kWarp * 4, left = own.size - i;
    const uint32_t codes1 = left > 0 ? *reinterpret_cast<const uint32_t*>(own.first + i) : 0;
    const uint32_t codes2 = left > 0 ? *reinterpret_cast<const uint32_t*>(own.second + i) : 0;
    float p[4], g[4];
    load_some(own.param + i, left, own.quads, p);
    load_some(own.grad + i, left, own.quads, g);
    for (int k = 0; k < 4; k++) {
      m[half][k] = k < left ? scale1 * signed_value(tables.with_sign, byte_of(codes1, k)) : 0;
      v[half][k] = k < left ? scale2 * tables.without.value[byte_of(codes2, k)] : 0;
      p[k] = rule(p[k], g[k] * scale, m[half][k], v[half][k]);
      top1 = fmaxf(top1, fabsf(m[half][k]));
      top2 = fmaxf(top2, v[half][k]);
    }
    store_some(own.param + i, left, own.quads, p);
    if (own.rounded) store_some(own.rounded + i, left, own.quads, p);
  }
  top1 = warp_max(top1);
  top2 = warp_max(top2);
  const float below1 = top1 > 0 ? top1 : 1, below2 = top2 > 0 ? top2 : 1;
#pragma unroll
  for (int half = 0; half < kHalves; half++) {
    const int64_t i = begin + half * kWarp * 4;
    if (i >= own.size) continue;
    uint32_t codes1 = 0, codes2 = 0;
    for (int k = 0; k < 4; k++) {
      codes1 |= uint32_t(signed_code(tables.with_sign, m[half][k] / below1)) << (8 * k);
      codes2 |= uint32_t(unsigned_code(tables.without, v[half][k] / below2)) << (8 * k);
    }
    *reinterpret_cast<uint32_t*>(own.first + i) = codes1;
    *reinterpret_cast<uint32_t*>(own.second + i) = codes2;
  }
  if (threadIdx.x % kWarp == 0) {
    own.first_scale[block] = top1;
    own.second_scale[block] = top2;
  }
}

__global__ void __launch_bounds__(kThreads) adamw_8bit_kernel(const Tensor8* tensors, int count, int64_t blocks,
                                                              const Tables* from, const float* grad_scale, const Fault* fault,
                                                              Rule rule) {
  MW_SHARED(Tables, tables);
  __shared__ int failed;
  if (threadIdx.x == 0) failed = *const_cast<const volatile int32_t*>(&fault->taken);
  for (int i = threadIdx.x; i < int(sizeof(Tables) / 4); i += kThreads) {
    reinterpret_cast<uint32_t*>(tables)[i] = reinterpret_cast<const uint32_t*>(from)[i];
  }
  __syncthreads();
  if (failed) return;
  const float scale = grad_scale ? *grad_scale : 1.0f;
  for (int64_t at = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarp; at < blocks; at += int64_t(gridDim.x) * kWarps) {
    int low = 0, high = count;  // the last tensor that begins at or before this block
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (tensors[middle].first_block <= at ? low : high) = middle;
    }
    const Tensor8 own = tensors[low];
    update_block(own, at - own.first_block, scale, rule, *tables);
  }
}
}  // namespace

void adamw_8bit(Exec& exec, InList grads, OutList params, OutList first, OutList first_scales, OutList second,
                OutList second_scales, OutList masters, In grad_scale, double lr, double beta1, double beta2, double eps,
                double decay, bool decoupled, int64_t step) {
  check_moment_lists(grads, params, {&first, &second}, {&first_scales, &second_scales}, masters);
  Rule rule;
  rule.rate = float(lr / (1 - std::pow(beta1, double(step))));
  rule.root = float(1 / std::sqrt(1 - std::pow(beta2, double(step))));
  rule.fresh1 = float(1 - beta1);
  rule.fresh2 = float(1 - beta2);
  rule.floor = float(eps);
  rule.shrink = float(decoupled ? lr * decay : 0);
  rule.l2 = float(decoupled ? 0 : decay);

  std::vector<Tensor8> tensors;
  int64_t blocks = 0;
  for (size_t i = 0; i < params.size(); i++) {
    if (params[i].size() == 0) continue;
    Tensor8 one = {};
    const bool half = params[i].dtype == DType::bf16;
    one.grad = grads[i].data<float>();
    one.param = (half ? masters[i] : params[i]).data<float>();
    one.rounded = half ? params[i].data<bf16>() : nullptr;
    one.first = first[i].data<uint8_t>();
    one.second = second[i].data<uint8_t>();
    one.first_scale = first_scales[i].data<float>();
    one.second_scale = second_scales[i].data<float>();
    one.quads = (uintptr_t(one.grad) | uintptr_t(one.param) | uintptr_t(one.rounded) * 2) % 16 == 0;
    one.size = params[i].size();
    one.first_block = blocks;
    blocks += moment_blocks(params[i]);
    tensors.push_back(one);
  }
  if (blocks == 0) return;
  const std::vector<Tables> tables = {{magnitudes(true), magnitudes(false)}};
  launch(exec, adamw_8bit_kernel, blocks_for(exec, blocks * kWarp, kThreads), kThreads, int64_t(sizeof(Tables)),
         exec.upload(tensors, 0), int(tensors.size()), blocks, exec.upload(tables, 1), grad_scale.data<float>(), exec.fault(),
         rule);
}

}  // namespace mixwright::cuda
