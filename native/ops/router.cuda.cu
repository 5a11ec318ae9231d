// Bytes moved: forward 8·T·E; backward 8·T·E. A warp owns a row; a row of up to 256 logits stays in its registers.
// Experts are ranked by logit, which orders them as their probabilities do, without the ties that rounding makes; with a bias
// by probability + bias. The best of those not yet chosen is a maximum over whole numbers that order as the scores do, one
// instruction for the warp.
#include "ops/router.h"

#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256;
constexpr unsigned kAll = 0xffffffffu;

// Orders as the floats do; -0 and 0 are one.
__device__ inline uint32_t rank_of(float x) {
  const uint32_t bits = __float_as_uint(x + 0.0f);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
__device__ inline float of_rank(uint32_t rank) { return __uint_as_float(rank >> 31 ? rank & 0x7fffffffu : ~rank); }

// kPer: a lane's logits, 0 when they stay in memory.
template <int kPer>
__global__ void __launch_bounds__(kThreads) choose(const float* logits, const float* bias, float* probs, int32_t* experts,
                                                   float* weights, int64_t T, int E, int K, bool renormalize) {
  const int64_t t = (int64_t(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  const int lane = threadIdx.x % kWarp, per = kPer > 0 ? kPer : (E + kWarp - 1) / kWarp;
  if (t >= T) return;
  const float* const logit = logits + t * E;
  float* const prob = probs + t * E;
  float own[kPer > 0 ? kPer : 1];
#pragma unroll
  for (int j = 0; j < kPer; j++) own[j] = lane + j * kWarp < E ? logit[lane + j * kWarp] : -INFINITY;
  const auto at = [&](int j) {
    if constexpr (kPer > 0) return own[j];
    return lane + j * kWarp < E ? logit[lane + j * kWarp] : -INFINITY;
  };

  float most = -INFINITY, sum = 0;
#pragma unroll
  for (int j = 0; j < per; j++) most = fmaxf(most, at(j));
  most = warp_max(most);
#pragma unroll
  for (int j = 0; j < per; j++) sum += lane + j * kWarp < E ? expf(at(j) - most) : 0.0f;
  const float scale = 1.0f / warp_sum(sum);
#pragma unroll
  for (int j = 0; j < per; j++) {
    const int e = lane + j * kWarp;
    if (e >= E) continue;
    prob[e] = expf(at(j) - most) * scale;
    if (kPer > 0 && bias != nullptr) own[j] = prob[e] + bias[e];  // from here on what ranks
  }
  const auto score = [&](int j) {
    if constexpr (kPer > 0) return own[j];
    const int e = lane + j * kWarp;
    return e < E && bias != nullptr ? prob[e] + bias[e] : at(j);
  };

  uint32_t last_rank = 0;
  int last = -1;
  float total = 0;
  for (int k = 0; k < K; k++) {
    uint32_t rank = 0;
    int expert = E;
#pragma unroll
    for (int j = 0; j < per; j++) {
      const int e = lane + j * kWarp;
      const uint32_t r = rank_of(score(j));
      const bool free = e < E && (last < 0 || r < last_rank || (r == last_rank && e > last));
      if (free && (expert == E || r > rank)) {
        rank = r;
        expert = e;
      }
    }
    const uint32_t best = __reduce_max_sync(kAll, rank);
    last = int(__reduce_min_sync(kAll, rank == best ? unsigned(expert) : unsigned(E)));
    last_rank = best;
    const float p = expf((bias == nullptr ? of_rank(best) : logit[last]) - most) * scale;
    total += p;
    if (lane == 0) {
      experts[t * K + k] = last;
      weights[t * K + k] = p;
    }
  }
  if (!renormalize) return;
  __syncwarp();
  for (int k = lane; k < K; k += kWarp) weights[t * K + k] /= total;
}

// With p the probabilities, w the weights and S the chosen:
//   plain:        dlogits_e = p_e · (dw_e [e in S] - Σ_S dw·p)
//   renormalized: dlogits_e = w_e · (dw_e - Σ_S dw·w) for e in S, else 0: the softmax's own sum cancels
__global__ void __launch_bounds__(kThreads)
    choose_grad(const float* dweights, const float* probs, const int32_t* experts, float* dlogits, int64_t T, int E, int K,
                bool renormalize, bool accumulate, Report to) {
  const int64_t t = (int64_t(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (t >= T) return;
  const float *const prob = probs + t * E, *const dweight = dweights + t * K;
  const int32_t* const chosen = experts + t * K;
  float* const out = dlogits + t * E;
  float sum = 0, dot = 0;
  bool broken = false;
  for (int k = lane; k < K; k += kWarp) {
    const int32_t e = chosen[k];
    if (e < 0 || e >= E) {
      report(to, t, e, E);
      broken = true;
    } else {
      sum += prob[e];
      dot += dweight[k] * prob[e];
    }
  }
  if (__any_sync(kAll, broken)) return;
  const float total = renormalize ? warp_sum(sum) : 1.0f, mean = warp_sum(dot) / total;
  for (int e = lane; e < E; e += kWarp) {
    float d = renormalize ? 0.0f : -mean * prob[e];
    if (accumulate) d += out[e];
    out[e] = d;
  }
  for (int k = 0; k < K; k++) {  // each lane adds to the experts that it has just written
    const int32_t e = chosen[k];
    if (e % kWarp == lane) out[e] += prob[e] / total * (renormalize ? dweight[k] - mean : dweight[k]);
  }
}

// One block: lists of a few thousand slots, once an update.
__global__ void __launch_bounds__(kThreads) follow_load(const int32_t* const* chosen, const int64_t* sizes, int64_t lists, int E,
                                                        float rate, float* bias, Report to) {
  MW_SHARED(int32_t, counts);
  for (int e = threadIdx.x; e < E; e += kThreads) counts[e] = 0;
  __syncthreads();
  int64_t total = 0;
  for (int64_t l = 0; l < lists; l++) {
    for (int64_t slot = threadIdx.x; slot < sizes[l]; slot += kThreads) {
      const int32_t e = chosen[l][slot];
      if (e < 0 || e >= E) {
        report(to, slot, e, E);
      } else {
        atomicAdd(&counts[e], 1);
      }
    }
    total += sizes[l];
  }
  __syncthreads();
  for (int e = threadIdx.x; e < E; e += kThreads) {
    const int64_t under = total - int64_t(E) * counts[e];
    bias[e] += rate * float((under > 0) - (under < 0));
  }
}
}  // namespace

void router(Exec& exec, In logits, In bias, Out probs, Out experts, Out weights, bool renormalize) {
  const int64_t E = logits.cols(), T = logits.rows(), K = experts.cols();
  require(K >= 1 && K <= E, "chooses at least 1 expert and at most all");
  const auto start = [&](auto kernel) {
    launch(exec, kernel, dim3(unsigned(pieces(T, kThreads / kWarp))), kThreads, 0, logits.data<float>(), bias.data<float>(),
           probs.data<float>(), experts.data<int32_t>(), weights.data<float>(), T, int(E), int(K), renormalize);
  };
  if (E <= kWarp) return start(choose<1>);
  if (E <= 2 * kWarp) return start(choose<2>);
  if (E <= 4 * kWarp) return start(choose<4>);
  if (E <= 8 * kWarp) return start(choose<8>);
  start(choose<0>);
}

void router_grad(Exec& exec, In dweights, In probs, In experts, Out dlogits, bool renormalize, bool accumulate) {
  const int64_t E = probs.cols(), T = probs.rows(), K = experts.cols();
  launch(exec, choose_grad, dim3(unsigned(pieces(T, kThreads / kWarp))), kThreads, 0, dweights.data<float>(),
         probs.data<float>(), experts.data<int32_t>(), dlogits.data<float>(), T, int(E), int(K), renormalize, accumulate,
         exec.report("row %lld chose expert %lld of %lld"));
}

void router_bias(Exec& exec, InList experts, Out bias, float rate) {
  const int64_t E = bias.size(), L = int64_t(experts.size());
  std::vector<const int32_t*> chosen;
  std::vector<int64_t> sizes;
  for (const In& of : experts) {
    chosen.push_back(of.data<int32_t>());
    sizes.push_back(of.size());
  }
  launch(exec, follow_load, dim3(1), kThreads, int(E) * 4, exec.upload(chosen, 0), exec.upload(sizes, 1), L, int(E), rate,
         bias.data<float>(), exec.report("slot %lld holds expert %lld, there are %lld"));
}

}  // namespace mixwright::cuda
