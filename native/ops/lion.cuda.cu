// Bytes moved: 20 an element (gradient, parameter, momentum; the last two also written), 22 with a bf16 parameter.
#include "ops/lion.h"

#include "cuda/update.h"

namespace mixwright::cuda {

namespace {
struct Rule {
  float rate, shrink, kept1, fresh1, kept2, fresh2;

  __device__ float operator()(float p, float g, float* state) const {
    float& m = state[0];
    const float c = fmaf(kept1, m, fresh1 * g);
    m = fmaf(kept2, m, fresh2 * g);
    const float sign = c > 0 ? 1.0f : c < 0 ? -1.0f : c;  // 0 stays 0, NaN stays NaN
    return p - fmaf(shrink, p, rate * sign);
  }
};
}  // namespace

void lion(Exec& exec, InList grads, OutList params, OutList momentum, OutList masters, In grad_scale, double lr,
          double beta1, double beta2, double decay) {
  Rule rule;
  rule.rate = float(lr);
  rule.shrink = float(lr * decay);
  rule.kept1 = float(beta1);
  rule.fresh1 = float(1 - beta1);
  rule.kept2 = float(beta2);
  rule.fresh2 = float(1 - beta2);
  update<1>(exec, grads, params, {&momentum}, masters, grad_scale, rule);
}

}  // namespace mixwright::cuda
