// Bytes moved: forward 8·T·E; backward 8·T·E. A task owns 32 rows.
// Experts are ranked by logit, which orders them as their probabilities do, without the ties that rounding makes; with a bias
// by probability + bias.
#include "ops/router.h"

#include <algorithm>

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/gemm_pack.h"
#include "cpu/simd.h"
#include "cpu/softmax.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kRows = 32;

// The K largest of each of up to kLanes rows, by insertion, a row to each lane. `memory` holds choose_floats(E, K).
void choose(const float* scores, int64_t rows, int64_t E, int64_t K, float* memory, int32_t* chosen) {
  float *const columns = memory, *const values = columns + pieces(E, kLanes) * kLanes * kLanes;  // values: [K][kLanes]
  float* const numbers = values + K * kLanes;                                                    // experts, as i32
  for (int64_t e = 0; e < E; e += kLanes) {
    vf v[kLanes] = {};
    for (int64_t r = 0; r < rows; r++) v[r] = E - e < kLanes ? load(scores + r * E + e, E - e) : load(scores + r * E + e);
    transpose(v);
    for (int64_t r = 0; r < kLanes; r++) store(columns + (e + r) * kLanes, v[r]);
  }
  for (int64_t e = 0; e < E; e++) {
    const vf x = load(columns + e * kLanes), number = vf(vi{} + int32_t(e));
    int64_t k = e < K ? e : K - 1;
    vi below = e < K ? vi{} - 1 : x > load(values + k * kLanes);  // where k's place goes to x or to what lies above it
    for (; k >= 0; k--) {
      float *const value = values + k * kLanes, *const which = numbers + k * kLanes;
      const vf above = k > 0 ? load(value - kLanes) : x;
      const vi pass = k > 0 ? (x > above) & below : vi{};
      store(value, select(below, select(pass, above, x), load(value)));
      store(which, select(below, select(pass, k > 0 ? load(which - kLanes) : number, number), load(which)));
      below = pass;
    }
  }
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t k = 0; k < K; k++) std::memcpy(chosen + r * K + k, numbers + k * kLanes + r, sizeof *chosen);
  }
}

int64_t choose_floats(int64_t E, int64_t K) { return (pieces(E, kLanes) * kLanes + 2 * K) * kLanes; }

float sum_chosen(const float* probs, const int32_t* chosen, int64_t K) {
  float total = 0;
  for (int64_t k = 0; k < K; k++) total += probs[chosen[k]];
  return total;
}
}  // namespace

void router(Exec& exec, In logits, In bias, Out probs, Out experts, Out weights, bool renormalize) {
  const int64_t E = logits.cols(), T = logits.rows(), K = experts.cols();
  require(K >= 1 && K <= E, "chooses at least 1 expert and at most all");
  exec.parallel(pieces(T, kRows), [&](int64_t task, Worker& worker) {
    const int64_t begin = task * kRows, end = std::min(T, begin + kRows);
    float* const memory = worker.scratch<float>(choose_floats(E, K) + (bias ? kRows * E : 0));
    float* const biased = memory + choose_floats(E, K);  // [kRows][E]
    for (int64_t t = begin; t < end; t++) {
      const float *logit = logits.data<float>() + t * E, *above = bias.data<float>();
      float *prob = probs.data<float>() + t * E, *score = biased + (t - begin) * E;
      const float scale = 1.0f / exp_row(logit, prob, E, row_max(logit, E));
      sweep(E, [&](int64_t i, auto... lanes) {
        const vf p = load(prob + i, lanes...) * scale;
        store(prob + i, p, lanes...);
        if (bias) store(score + i, p + load(above + i, lanes...), lanes...);
      });
    }
    const float* const scores = bias ? biased : logits.data<float>() + begin * E;
    for (int64_t t = begin; t < end; t += kLanes) {
      const int64_t rows = std::min<int64_t>(kLanes, end - t);
      choose(scores + (t - begin) * E, rows, E, K, memory, experts.data<int32_t>() + t * K);
    }
    for (int64_t t = begin; t < end; t++) {
      const float* prob = probs.data<float>() + t * E;
      float* weight = weights.data<float>() + t * K;
      const int32_t* chosen = experts.data<int32_t>() + t * K;
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

void router_bias(Exec& exec, InList experts, Out bias, float rate) {
  const int64_t E = bias.size();
  int64_t* const counts = exec.shared<int64_t>(E);
  std::fill_n(counts, E, int64_t(0));
  int64_t total = 0;
  for (const In& chosen : experts) {
    for (int64_t slot = 0; slot < chosen.size(); slot++) {
      const int32_t e = chosen.data<int32_t>()[slot];
      if (e < 0 || e >= E) {
        fail("slot %lld holds expert %d, there are %lld", static_cast<long long>(slot), e, static_cast<long long>(E));
      }
      counts[e]++;
    }
    total += chosen.size();
  }
  for (int64_t e = 0; e < E; e++) {
    const int64_t under = total - E * counts[e];
    bias.data<float>()[e] += rate * float((under > 0) - (under < 0));
  }
}

}  // namespace mixwright::cpu::MW_ISA
