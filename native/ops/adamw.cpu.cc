// Bytes moved: 28 an element (gradient, parameter, two moments; the last three also written), 30 with a bf16 parameter.
// A task owns 16k elements of the tensors laid end to end.
// The decay is taken off in the same sum as the step, so that a parameter is rounded once: 1 - lr·decay is too close to 1
// to be held as a float (at lr·decay = 1e-6 the decay would be off by 1 %).
#include "ops/adamw.h"

#include "cpu/update.h"

namespace mixwright::cpu::MW_ISA {

void adamw(Exec& exec, InList grads, OutList params, OutList first, OutList second, OutList masters, In grad_scale,
           double lr, double beta1, double beta2, double eps, double decay, bool decoupled, int64_t step) {
  const float rate = float(lr / (1 - std::pow(beta1, double(step))));
  const float root = float(1 / std::sqrt(1 - std::pow(beta2, double(step))));
  const float fresh1 = float(1 - beta1), fresh2 = float(1 - beta2), floor = float(eps);
  const float shrink = float(decoupled ? lr * decay : 0), l2 = float(decoupled ? 0 : decay);

  const auto rule = [=](vf p, vf g, vf* state) __attribute__((always_inline)) {
    vf& m = state[0];
    vf& v = state[1];
    g += l2 * p;
    m += fresh1 * (g - m);
    v += fresh2 * (g * g - v);
    return p - (shrink * p + rate * m / (root * sqrt(v) + floor));
  };
  update<2>(exec, grads, params, {&first, &second}, masters, grad_scale, rule);
}

}  // namespace mixwright::cpu::MW_ISA
