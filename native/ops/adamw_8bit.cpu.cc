// Bytes moved: 16 an element and 16 a block (gradient, parameter, two codes; the last three also written), 18 with a bf16
// parameter. A task owns 64 blocks of moments of the tensors laid end to end.
#include "ops/adamw_8bit.h"

#include <algorithm>

#include "core/update_lists.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kBlocks = 64;  // of a task

struct Block {
  const float* grad;
  float* param;
  bf16* rounded;  // null: the parameter is f32
  uint8_t *first, *second;
  float *first_scale, *second_scale;
  int64_t n;
};

struct Rule {
  float rate, root, fresh1, fresh2, floor, shrink, l2;

  vf operator()(vf p, vf g, vf& m, vf& v) const {  // as in adamw
    g += l2 * p;
    m += fresh1 * (g - m);
    v += fresh2 * (g * g - v);
    return p - (shrink * p + rate * m / (root * sqrt(v) + floor));
  }
};

void update_block(const Block& own, float scale, const Rule& rule, const Magnitudes& with_sign, const Magnitudes& without) {
  alignas(64) float ms[kMomentBlock], vs[kMomentBlock];
  for (int64_t i = 0; i < own.n; i++) {
    ms[i] = *own.first_scale * signed_value(with_sign, own.first[i]);
    vs[i] = *own.second_scale * without.value[own.second[i]];
  }
  vf highest = {}, lowest = {}, longest = {};
  sweep(own.n, [&](int64_t i, auto... lanes) {
    vf m = load(ms + i, lanes...), v = load(vs + i, lanes...);
    const vf next = rule(load(own.param + i, lanes...), load(own.grad + i, lanes...) * scale, m, v);
    store(ms + i, m, lanes...);
    store(vs + i, v, lanes...);
    store(own.param + i, next, lanes...);
    if (own.rounded) store(own.rounded + i, next, lanes...);
    highest = max(highest, m);
    lowest = max(lowest, -m);
    longest = max(longest, v);
  });
  const float top1 = std::max(max_lane(highest), max_lane(lowest)), top2 = max_lane(longest);
  const float below1 = top1 > 0 ? top1 : 1, below2 = top2 > 0 ? top2 : 1;
  for (int64_t i = 0; i < own.n; i++) {
    own.first[i] = signed_code(with_sign, ms[i] / below1);
    own.second[i] = unsigned_code(without, vs[i] / below2);
  }
  *own.first_scale = top1;
  *own.second_scale = top2;
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
  const float scale = grad_scale ? *grad_scale.data<float>() : 1.0f;
  const Magnitudes with_sign = magnitudes(true), without = magnitudes(false);

  const size_t count = params.size();
  int64_t* const starts = exec.shared<int64_t>(int64_t(count) + 1);  // of each tensor's blocks
  starts[0] = 0;
  for (size_t i = 0; i < count; i++) starts[i + 1] = starts[i] + moment_blocks(params[i]);
  exec.parallel_range(starts[count], kBlocks, [&](int64_t begin, int64_t end) {
    size_t i = size_t(std::upper_bound(starts, starts + count + 1, begin) - starts) - 1;
    for (int64_t at = begin; at < end; at++) {
      while (at >= starts[i + 1]) i++;
      const int64_t block = at - starts[i], from = block * kMomentBlock;
      const bool half = params[i].dtype == DType::bf16;
      const Block own = {grads[i].data<float>() + from,
                         (half ? masters[i] : params[i]).data<float>() + from,
                         half ? params[i].data<bf16>() + from : nullptr,
                         first[i].data<uint8_t>() + from,
                         second[i].data<uint8_t>() + from,
                         first_scales[i].data<float>() + block,
                         second_scales[i].data<float>() + block,
                         std::min(kMomentBlock, params[i].size() - from)};
      update_block(own, scale, rule, with_sign, without);
    }
  });
}

}  // namespace mixwright::cpu::MW_ISA
