// Bytes moved: 20 an element (gradient, parameter, velocity; the last two also written), 12 without momentum, 2 more with a
// bf16 parameter. A task owns 16k elements of the tensors laid end to end.
#include "ops/sgd.h"

#include "cpu/update.h"

namespace mixwright::cpu::MW_ISA {

void sgd(Exec& exec, InList grads, OutList params, OutList velocity, OutList masters, In grad_scale, double lr,
         double momentum, bool nesterov, double decay, int64_t step) {
  const float rate = float(lr), kept = float(momentum), l2 = float(decay);
  if (momentum == 0) {
    const auto plain = [=](vf p, vf g, vf*) __attribute__((always_inline)) { return p - rate * (g + l2 * p); };
    return update<0>(exec, grads, params, {}, masters, grad_scale, plain);
  }
  const bool start = step == 1;  // the velocity's memory may hold anything yet
  const auto rule = [=](vf p, vf g, vf* state) __attribute__((always_inline)) {
    vf& b = state[0];
    g += l2 * p;
    b = start ? g : kept * b + g;
    return p - rate * (nesterov ? g + kept * b : b);
  };
  update<1>(exec, grads, params, {&velocity}, masters, grad_scale, rule);
}

}  // namespace mixwright::cpu::MW_ISA
