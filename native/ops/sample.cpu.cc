// Bytes moved: B·V elements read, and V weights and indices of scratch a thread. A task owns a row.
#include <algorithm>
#include <cstdio>

#include "core/checks.h"
#include "core/philox.h"
#include "cpu/exec.h"
#include "cpu/simd.h"
#include "ops/sample.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kFirstSorted = 64;

template <class T>
int32_t largest_of(const T* logits, int64_t V, int64_t row) {
  int64_t best = -1;
  bool nan = false;
  for (int64_t i = 0; i < V; i++) {
    const float x = widen(logits[i]);
    nan |= x != x;
    if (x > (best < 0 ? -INFINITY : widen(logits[best]))) best = i;
  }
  if (nan || best < 0 || widen(logits[best]) == INFINITY) {
    char text[96];
    std::snprintf(text, sizeof text, "row %lld has NaN or no finite largest logit among its %lld", (long long)row,
                  (long long)V);
    throw KernelError(text);
  }
  return int32_t(best);
}

double uniform53(uint64_t seed, uint64_t position, uint64_t row) {
  const PhiloxBlock block = philox(seed, position, row);
  return double((uint64_t(block.v[0] >> 5) << 26) + (block.v[1] >> 6)) * 0x1p-53;
}

// How many tokens at the front of `order` reach top_p. The order is put right only as far as that takes: `sorted` of the
// `count` tokens are in place already, and each round sorts twice as many as the last.
template <class Before>
int64_t nucleus(int32_t* order, int64_t sorted, int64_t count, const double* weight, double goal, Before before) {
  double reached = 0;
  for (int64_t n = 0; n < count; n++) {
    if (n == sorted) {
      sorted = std::min(count, std::max(kFirstSorted, 2 * sorted));
      std::nth_element(order + n, order + sorted, order + count, before);
      std::sort(order + n, order + sorted, before);
    }
    reached += weight[order[n]];
    if (reached >= goal) return n + 1;
  }
  return count;
}

template <class T>
int32_t draw(const T* logits, int64_t V, int32_t largest, double temperature, int64_t top_k, double top_p, double u,
             Worker& worker) {
  double* weight = worker.scratch<double>(V + (V + 1) / 2);
  int32_t* order = reinterpret_cast<int32_t*>(weight + V);
  for (int64_t i = 0; i < V; i++) order[i] = int32_t(i);
  const auto before = [&](int32_t a, int32_t b) {
    const float x = widen(logits[a]), y = widen(logits[b]);
    return x != y ? x > y : a < b;
  };
  int64_t count = V;
  if (top_k > 0 && top_k < V) {
    count = top_k;
    std::partial_sort(order, order + count, order + V, before);
  }
  const auto total = [&] {
    double sum = 0;
    for (int64_t n = 0; n < count; n++) sum += weight[order[n]];
    return sum;
  };
  const double top = widen(logits[largest]);
  for (int64_t n = 0; n < count; n++) weight[order[n]] = std::exp((widen(logits[order[n]]) - top) / temperature);
  if (top_p < 1) count = nucleus(order, count < V ? count : 0, count, weight, top_p * total(), before);
  if (top_k > 0 || top_p < 1) std::sort(order, order + count);  // back to index order
  const double goal = u * total();
  double reached = 0;
  for (int64_t n = 0; n < count; n++) {
    reached += weight[order[n]];
    if (reached > goal) return order[n];
  }
  return largest;  // not reached: the last running sum is the total, and u < 1
}
}  // namespace

void sample(Exec& exec, In logits, Out ids, double temperature, int64_t top_k, double top_p, int64_t seed,
            int64_t position) {
  const int64_t V = logits.cols();
  with_float_type(logits.dtype, [&](auto type) {
    using E = decltype(type);
    exec.parallel(logits.rows(), [&](int64_t row, Worker& worker) {
      const E* values = logits.data<E>() + row * V;
      const int32_t largest = largest_of(values, V, row);
      const double u = uniform53(uint64_t(seed), uint64_t(position), uint64_t(row));
      ids.data<int32_t>()[row] =
          temperature == 0 ? largest : draw(values, V, largest, temperature, top_k, top_p, u, worker);
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
