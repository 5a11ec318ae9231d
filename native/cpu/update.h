// One in-place optimizer pass over all tensors, for the rules in ops/: adamw, lion, sgd. A rule sees kLanes elements:
//
//   vf rule(vf p, vf g, vf* state)   returns the new parameter; state[0..kStates) is read and written
#pragma once
#include <array>

#include "core/update_lists.h"
#include "cpu/chunks.h"

namespace mixwright::cpu::MW_ISA {

constexpr int64_t kLine = 16;    // floats of a cache line
constexpr int64_t kFloatsAhead = 256;  // floats; with so many streams at once the processor's own guesses come late

template <int kStates>
using States = std::array<const OutList*, size_t(kStates)>;

template <int kStates, class Rule>
void update(Exec& exec, const InList& grads, const OutList& params, const States<kStates>& states, const OutList& masters,
            const In& grad_scale, const Rule& rule) {
  check_update_lists(grads, params, {states.begin(), states.end()}, masters);
  const float scale = grad_scale ? *grad_scale.data<float>() : 1.0f;
  Chunks<OutList>(exec, params).parallel([&](int64_t, size_t tensor, int64_t begin, int64_t end) {
    const bool half = params[tensor].dtype == DType::bf16;
    const float* grad = grads[tensor].data<float>() + begin;
    float* param = (half ? masters[tensor] : params[tensor]).template data<float>() + begin;
    bf16* rounded = half ? params[tensor].template data<bf16>() + begin : nullptr;
    float* memory[kStates + 1];
    for (int k = 0; k < kStates; k++) memory[k] = (*states[size_t(k)])[tensor].template data<float>() + begin;

    const auto step = [&](int64_t i, auto... lanes) __attribute__((always_inline)) {
      vf state[kStates + 1];
      for (int k = 0; k < kStates; k++) state[k] = load(memory[k] + i, lanes...);
      const vf next = rule(load(param + i, lanes...), load(grad + i, lanes...) * scale, state);
      for (int k = 0; k < kStates; k++) store(memory[k] + i, state[k], lanes...);
      store(param + i, next, lanes...);
      if (rounded) store(rounded + i, next, lanes...);
    };
    const int64_t n = end - begin;
    int64_t i = 0;
    for (; i + kLine <= n; i += kLine) {
      for (int k = 0; k < kStates; k++) __builtin_prefetch(memory[k] + i + kFloatsAhead, 1);
      __builtin_prefetch(param + i + kFloatsAhead, 1);
      __builtin_prefetch(grad + i + kFloatsAhead);
      for (int64_t at = i; at < i + kLine; at += kLanes) step(at);
    }
    for (; i < n; i += kLanes) i + kLanes <= n ? step(i) : step(i, n - i);
  });
}

}  // namespace mixwright::cpu::MW_ISA
