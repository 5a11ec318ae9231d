// Bytes moved: the losses read 4·T·E a layer, a gradient 8·T·E. A task owns 128 rows of one layer and a slot for their
// sums, in double; slots are added in order.
#include "ops/router_loss.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"
#include "cpu/softmax.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kRows = 128;

// Calls body(layer, begin, end, block) for each block of rows, in parallel. All layers have T rows.
template <class Body>
void over_blocks(Exec& exec, int64_t L, int64_t T, Body&& body) {
  const int64_t blocks = (T + kRows - 1) / kRows;
  exec.parallel(L * blocks, [&](int64_t task, Worker& worker) {
    const int64_t begin = task % blocks * kRows;
    body(task / blocks, begin, begin + kRows < T ? begin + kRows : T, task, worker);
  });
}

float logsumexp(const float* logits, float* scratch, int64_t E) {
  const float shift = row_max(logits, E);
  return shift + std::log(exp_row(logits, scratch, E, shift));
}

// Adds rows of one layer to counts[E] and sums[E].
void add_rows(const float* probs, const int32_t* experts, int64_t begin, int64_t end, int64_t E, int64_t K,
              double* counts, double* sums) {
  for (int64_t t = begin; t < end; t++) {
    for (int64_t e = 0; e < E; e++) sums[e] += probs[t * E + e];
    for (int64_t k = 0; k < K; k++) {
      const int32_t e = experts[t * K + k];
      if (e < 0 || e >= E) {
        fail("row %lld chose expert %d of %lld", static_cast<long long>(t), e, static_cast<long long>(E));
      }
      counts[e]++;
    }
  }
}
}  // namespace

void load_balancing_loss(Exec& exec, InList probs, InList experts, Out loss, Out slope, bool pooled) {
  const int64_t L = int64_t(probs.size()), E = slope.cols();
  const int64_t T = L == 0 ? 0 : probs[0].rows(), K = L == 0 ? 0 : experts[0].cols();
  const int64_t blocks = (T + kRows - 1) / kRows;
  double* slots = exec.shared<double>(L * blocks * 2 * E);
  over_blocks(exec, L, T, [&](int64_t layer, int64_t begin, int64_t end, int64_t block, Worker&) {
    double *counts = slots + block * 2 * E, *sums = counts + E;
    for (int64_t e = 0; e < 2 * E; e++) counts[e] = 0;
    add_rows(probs[layer].data<float>(), experts[layer].data<int32_t>(), begin, end, E, K, counts, sums);
  });

  // A group is what is balanced as one: all layers together, or each. Its share of the loss is
  // scale · Σ_e counts_e · sums_e, so that the slope is scale · counts_e.
  const int64_t groups = pooled ? 1 : L, layers = pooled ? L : 1;
  const double rows = double(T) * double(layers);
  const double scale = T == 0 ? 0 : double(E) / (rows * rows) / (pooled ? 1.0 : double(K) * double(L));
  double* totals = exec.shared<double>(2 * E, 1);
  double value = 0;
  for (int64_t group = 0; group < groups; group++) {
    for (int64_t e = 0; e < 2 * E; e++) totals[e] = 0;
    for (int64_t block = group * layers * blocks; block < (group + 1) * layers * blocks; block++) {
      for (int64_t e = 0; e < 2 * E; e++) totals[e] += slots[block * 2 * E + e];
    }
    for (int64_t e = 0; e < E; e++) value += scale * totals[e] * totals[E + e];
    for (int64_t layer = group * layers; layer < (group + 1) * layers; layer++) {
      for (int64_t e = 0; e < E; e++) slope.data<float>()[layer * E + e] = float(scale * totals[e]);
    }
  }
  loss.data<float>()[0] = float(value);
}

void load_balancing_loss_grad(Exec& exec, In dloss, In probs, In slope, Out dlogits, bool accumulate) {
  const int64_t E = probs.cols(), T = probs.rows();
  const float d = dloss.data<float>()[0];
  const float* s = slope.data<float>();
  exec.parallel_range(T, kRows, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      const float* prob = probs.data<float>() + t * E;
      float* out = dlogits.data<float>() + t * E;
      vf dot = {};
      sweep(E, [&](int64_t i, auto... lanes) { dot += load(prob + i, lanes...) * load(s + i, lanes...); });
      const float mean = sum(dot);
      sweep(E, [&](int64_t i, auto... lanes) {
        vf g = d * load(prob + i, lanes...) * (load(s + i, lanes...) - mean);
        if (accumulate) g += load(out + i, lanes...);
        store(out + i, g, lanes...);
      });
    }
  });
}

void router_z_loss(Exec& exec, InList logits, Out loss) {
  const int64_t L = int64_t(logits.size());
  const int64_t T = L == 0 ? 0 : logits[0].rows(), E = L == 0 ? 0 : logits[0].cols();
  const int64_t blocks = (T + kRows - 1) / kRows;
  double* slots = exec.shared<double>(L * blocks);
  over_blocks(exec, L, T, [&](int64_t layer, int64_t begin, int64_t end, int64_t block, Worker& worker) {
    double total = 0;
    for (int64_t t = begin; t < end; t++) {
      const double z = logsumexp(logits[layer].data<float>() + t * E, worker.scratch<float>(E), E);
      total += z * z;
    }
    slots[block] = total;
  });
  double total = 0;
  for (int64_t block = 0; block < L * blocks; block++) total += slots[block];
  loss.data<float>()[0] = T == 0 ? 0.0f : float(total / (double(L) * double(T)));
}

void router_z_loss_grad(Exec& exec, In dloss, In logits, Out dlogits, float scale, bool accumulate) {
  const int64_t E = logits.cols(), T = logits.rows();
  const float d = dloss.data<float>()[0] * scale * 2.0f;
  exec.parallel((T + kRows - 1) / kRows, [&](int64_t block, Worker& worker) {
    float* row = worker.scratch<float>(E);
    for (int64_t t = block * kRows; t < T && t < (block + 1) * kRows; t++) {
      const float* logit = logits.data<float>() + t * E;
      float* out = dlogits.data<float>() + t * E;
      const float shift = row_max(logit, E), total = exp_row(logit, row, E, shift);
      const float factor = d * (shift + std::log(total)) / total;
      sweep(E, [&](int64_t i, auto... lanes) {
        vf g = factor * load(row + i, lanes...);
        if (accumulate) g += load(out + i, lanes...);
        store(out + i, g, lanes...);
      });
    }
  });
}

}  // namespace mixwright::cpu::MW_ISA
