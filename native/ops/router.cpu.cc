// Bytes moved: forward 8·T·E; backward 8·T·E. A task owns 32 rows.
// Experts are ranked by logit, which orders them as their probabilities do, without the ties that rounding makes.
#include "ops/router.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"
#include "cpu/softmax.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kRows = 32;

// The K largest of a row by insertion: most candidates fail the first comparison.
void choose(const float* logits, int32_t* chosen, int64_t E, int64_t K) {
  for (int64_t e = 0; e < E; e++) {
    int64_t at = e < K ? e : K;
    while (at > 0 && logits[e] > logits[chosen[at - 1]]) {
      if (at < K) chosen[at] = chosen[at - 1];
      at--;
    }
    if (at < K) chosen[at] = int32_t(e);
  }
}

float sum_chosen(const float* probs, const int32_t* chosen, int64_t K) {
  float total = 0;
  for (int64_t k = 0; k < K; k++) total += probs[chosen[k]];
  return total;
}
}  // namespace

void router(Exec& exec, In logits, Out probs, Out experts, Out weights, bool renormalize) {
  const int64_t E = logits.cols(), T = logits.rows(), K = experts.cols();
  require(K >= 1 && K <= E, "chooses at least 1 expert and at most all");
  exec.parallel_range(T, kRows, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      const float* logit = logits.data<float>() + t * E;
      float *prob = probs.data<float>() + t * E, *weight = weights.data<float>() + t * K;
      int32_t* chosen = experts.data<int32_t>() + t * K;
      const float scale = 1.0f / exp_row(logit, prob, E, row_max(logit, E));
      sweep(E, [&](int64_t i, auto... lanes) { store(prob + i, load(prob + i, lanes...) * scale, lanes...); });
      choose(logit, chosen, E, K);
      const float total = renormalize ? sum_chosen(prob, chosen, K) : 1.0f;
      for (int64_t k = 0; k < K; k++) weight[k] = prob[chosen[k]] / total;
    }
  });
}

// With p the probabilities, w the weights and S the chosen:
//   plain:        dlogits_e = p_e · (dw_e [e in S] - Σ_S dw·p)
//   renormalized: dlogits_e = w_e · (dw_e - Σ_S dw·w) for e in S, else 0: the softmax's own sum cancels
void router_grad(Exec& exec, In dweights, In probs, In experts, Out dlogits, bool renormalize, bool accumulate) {
  const int64_t E = probs.cols(), T = probs.rows(), K = experts.cols();
  exec.parallel_range(T, kRows, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      const float *prob = probs.data<float>() + t * E, *dweight = dweights.data<float>() + t * K;
      const int32_t* chosen = experts.data<int32_t>() + t * K;
      float* out = dlogits.data<float>() + t * E;
      for (int64_t k = 0; k < K; k++) {
        if (chosen[k] < 0 || chosen[k] >= E) {
          fail("row %lld chose expert %d of %lld", static_cast<long long>(t), chosen[k], static_cast<long long>(E));
        }
      }
      const float total = renormalize ? sum_chosen(prob, chosen, K) : 1.0f;
      float mean = 0;
      for (int64_t k = 0; k < K; k++) mean += dweight[k] * prob[chosen[k]] / total;
      const float elsewhere = renormalize ? 0.0f : -mean;
      sweep(E, [&](int64_t i, auto... lanes) {
        vf d = load(prob + i, lanes...) * elsewhere;
        if (accumulate) d += load(out + i, lanes...);
        store(out + i, d, lanes...);
      });
      for (int64_t k = 0; k < K; k++) {
        const float centred = renormalize ? dweight[k] - mean : dweight[k];
        out[chosen[k]] += prob[chosen[k]] / total * centred;
      }
    }
  });
}

}  // namespace mixwright::cpu::MW_ISA
