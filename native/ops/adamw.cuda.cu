// Bytes moved: 28 an element (gradient, parameter, two moments; the last three also written), 30 with a bf16 parameter.
// The decay is taken off in the same sum as the step, so that a parameter is rounded once: 1 - lr·decay is too close to 1
// to be held as a float (at lr·decay = 1e-6 the decay would be off by 1 %).
#include "ops/adamw.h"

#include <cmath>

#include "cuda/update.h"

namespace mixwright::cuda {

namespace {
struct Rule {
  float rate, root, fresh1, fresh2, floor, shrink, l2;

  __device__ float operator()(float p, float g, float* state) const {
    float &m = state[0], &v = state[1];
    g = fmaf(l2, p, g);
    m = fmaf(fresh1, g - m, m);
    v = fmaf(fresh2, fmaf(g, g, -v), v);
    return p - fmaf(shrink, p, rate * m / fmaf(root, sqrtf(v), floor));
  }
};
}  // namespace

void adamw(Exec& exec, InList grads, OutList params, OutList first, OutList second, OutList masters, In grad_scale,
           double lr, double beta1, double beta2, double eps, double decay, bool decoupled, int64_t step) {
  Rule rule;
  rule.rate = float(lr / (1 - std::pow(beta1, double(step))));
  rule.root = float(1 / std::sqrt(1 - std::pow(beta2, double(step))));
  rule.fresh1 = float(1 - beta1);
  rule.fresh2 = float(1 - beta2);
  rule.floor = float(eps);
  rule.shrink = float(decoupled ? lr * decay : 0);
  rule.l2 = float(decoupled ? 0 : decay);
  update<2>(exec, grads, params, {&first, &second}, masters, grad_scale, rule);
}

}  // namespace mixwright::cuda
