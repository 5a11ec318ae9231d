// Bytes moved: 20 an element (gradient, parameter, velocity; the last two also written), 12 without momentum, 2 more with a
// bf16 parameter.
#include "ops/sgd.h"

#include "cuda/update.h"

namespace mixwright::cuda {

namespace {
struct Plain {
  float rate, l2;

  __device__ float operator()(float p, float g, float*) const { return fmaf(-rate, fmaf(l2, p, g), p); }
};

struct Heavy {
  float rate, kept, l2;
  bool nesterov, start;  // at the start the velocity's memory may hold anything yet

  __device__ float operator()(float p, float g, float* state) const {
    float& b = state[0];
    g = fmaf(l2, p, g);
    b = start ? g : fmaf(kept, b, g);
    return fmaf(-rate, nesterov ? fmaf(kept, b, g) : b, p);
  }
};
}  // namespace

void sgd(Exec& exec, InList grads, OutList params, OutList velocity, OutList masters, In grad_scale, double lr,
         double momentum, bool nesterov, double decay, int64_t step) {
  if (momentum == 0) return update<0>(exec, grads, params, {}, masters, grad_scale, Plain{float(lr), float(decay)});
  const Heavy rule = {float(lr), float(momentum), float(decay), nesterov, step == 1};
  update<1>(exec, grads, params, {&velocity}, masters, grad_scale, rule);
}

}  // namespace mixwright::cuda
