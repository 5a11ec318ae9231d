// Bytes moved: 20 an element (gradient, parameter, momentum; the last two also written), 22 with a bf16 parameter.
// A task owns 16k elements of the tensors laid end to end.
#include "ops/lion.h"

#include "cpu/update.h"

namespace mixwright::cpu::MW_ISA {

void lion(Exec& exec, InList grads, OutList params, OutList momentum, OutList masters, In grad_scale, double lr,
          double beta1, double beta2, double decay) {
  const float rate = float(lr), shrink = float(lr * decay);
  const float kept1 = float(beta1), fresh1 = float(1 - beta1), kept2 = float(beta2), fresh2 = float(1 - beta2);

  const auto rule = [=](vf p, vf g, vf* state) __attribute__((always_inline)) {
    vf& m = state[0];
    const vf c = kept1 * m + fresh1 * g;
    m = kept2 * m + fresh2 * g;
    const vf sign = select(c > vf{}, splat(1.0f), select(c < vf{}, splat(-1.0f), c));  // 0 stays 0, NaN stays NaN
    return p - (shrink * p + rate * sign);
  };
  update<1>(exec, grads, params, {&momentum}, masters, grad_scale, rule);
}

}  // namespace mixwright::cpu::MW_ISA
