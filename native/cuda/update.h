// One in-place optimizer pass over all tensors, for the rules in ops/: adamw, lion, sgd. A rule is a struct for one element:
//
//   float operator()(float p, float g, float* state) const   returns the new parameter; state[0..kStates) is read and written
//
// It is written with fmaf, which leaves the compiler no choice: equal bits for any alignment, with or without a master.
//
// One launch for all: the tensors are cut into chunks, a block owns a chunk and finds its tensor in a table. After a failure
// (a gradient that isn't finite) nothing is changed.
#pragma once
#include <vector>

#include "core/update_lists.h"
#include "cuda/rows.h"

namespace mixwright::cuda {

constexpr int kUpdateThreads = 256;
constexpr int64_t kMostChunk = 65536, kLeastChunk = 4096;  // elements of a block

template <int kStates>
struct UpdateTensor {
  const float* grad;
  float* param;
  bf16* rounded;  // null: the parameter is f32
  float* state[kStates + 1];
  int64_t size, first_chunk;
  bool quads;
};

template <int kWidth, int kStates, class Rule>
__device__ inline void update_piece(const UpdateTensor<kStates>& own, int64_t i, float scale, const Rule& rule) {
  const Floats<kWidth> g = load_floats<kWidth>(own.grad + i);
  Floats<kWidth> p = load_floats<kWidth>(own.param + i);
  Floats<kWidth> states[kStates + 1];
  for (int n = 0; n < kStates; n++) states[n] = load_floats<kWidth>(own.state[n] + i);
  for (int k = 0; k < kWidth; k++) {
    float state[kStates + 1];
    for (int n = 0; n < kStates; n++) state[n] = states[n].at[k];
    p.at[k] = rule(p.at[k], g.at[k] * scale, state);
    for (int n = 0; n < kStates; n++) states[n].at[k] = state[n];
  }
  for (int n = 0; n < kStates; n++) store_floats(own.state[n] + i, states[n]);
  store_floats(own.param + i, p);
  if (own.rounded) store_floats(own.rounded + i, p);
}

template <int kStates, class Rule>
__global__ void __launch_bounds__(kUpdateThreads) update_kernel(const UpdateTensor<kStates>* tensors, int count, int64_t chunk,
                                                                const float* grad_scale, const Fault* fault, Rule rule) {
  __shared__ int failed;
  if (threadIdx.x == 0) failed = *const_cast<const volatile int32_t*>(&fault->taken);
  int low = 0, high = count;  // the last tensor that begins at or before this block's chunk
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (tensors[middle].first_chunk <= int64_t(blockIdx.x) ? low : high) = middle;
  }
  __syncthreads();
  if (failed) return;
  const UpdateTensor<kStates> own = tensors[low];
  const float scale = grad_scale ? *grad_scale : 1.0f;
  const int64_t begin = (blockIdx.x - own.first_chunk) * chunk, end = begin + chunk < own.size ? begin + chunk : own.size;
  const int64_t singles = own.quads ? end - (end - begin) % 4 : begin;
  for (int64_t i = begin + threadIdx.x * 4; i < singles; i += kUpdateThreads * 4) update_piece<4>(own, i, scale, rule);
  for (int64_t i = singles + threadIdx.x; i < end; i += kUpdateThreads) update_piece<1>(own, i, scale, rule);
}

template <int kStates, class Rule>
void update(Exec& exec, const InList& grads, const OutList& params, const std::vector<const OutList*>& states,
            const OutList& masters, const In& grad_scale, const Rule& rule) {
  check_update_lists(grads, params, states, masters);
  int64_t elements = 0, chunk = kMostChunk, chunks = 0;
  for (const Out& param : params) elements += param.size();
  while (chunk > kLeastChunk && elements / chunk < 8 * exec.properties().multiprocessors) chunk /= 2;

  std::vector<UpdateTensor<kStates>> tensors;
  for (size_t i = 0; i < params.size(); i++) {
    if (params[i].size() == 0) continue;
    UpdateTensor<kStates> one = {};
    const bool half = params[i].dtype == DType::bf16;
    one.grad = grads[i].data<float>();
    one.param = (half ? masters[i] : params[i]).template data<float>();
    one.rounded = half ? params[i].template data<bf16>() : nullptr;
    uintptr_t ends = uintptr_t(one.grad) | uintptr_t(one.param) | uintptr_t(one.rounded) * 2;
    for (int n = 0; n < kStates; n++) {
      one.state[n] = (*states[size_t(n)])[i].template data<float>();
      ends |= uintptr_t(one.state[n]);
    }
    one.quads = ends % 16 == 0;
    one.size = params[i].size();
    one.first_chunk = chunks;
    chunks += pieces(one.size, chunk);
    tensors.push_back(one);
  }
  if (chunks == 0) return;
  launch(exec, update_kernel<kStates, Rule>, dim3(unsigned(chunks)), kUpdateThreads, 0, exec.upload(tensors, 0),
         int(tensors.size()), chunk, grad_scale.data<float>(), exec.fault(), rule);
}

}  // namespace mixwright::cuda
