// Bytes moved: each element once. A task owns 16k elements of the tensors laid end to end and one partial sum.
// The square of a float is exact in double, and the sums run in a fixed pattern: every instruction set gives the same bits.
#include "ops/sum_squares.h"

#include "core/checks.h"
#include "cpu/chunks.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int kSums = 16;  // independent chains, to hide the latency of the additions

template <class E>
double squares(const E* x, int64_t n) {
  double sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (int k = 0; k < kSums; k++) {
      const double value = widen(x[i + k]);
      sums[k] += value * value;
    }
  }
  for (int k = 0; i + k < n; k++) {
    const double value = widen(x[i + k]);
    sums[k] += value * value;
  }
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}
}  // namespace

void sum_squares(Exec& exec, InList xs, Out total) {
  const Chunks<InList> chunks(exec, xs);
  double* partial = exec.shared<double>(chunks.count(), 1);
  for (int64_t chunk = 0; chunk < chunks.count(); chunk++) partial[chunk] = 0;
  chunks.parallel([&](int64_t chunk, size_t tensor, int64_t begin, int64_t end) {
    with_float_type(xs[tensor].dtype, [&](auto type) {
      partial[chunk] += squares(xs[tensor].data<decltype(type)>() + begin, end - begin);
    });
  });
  double sum = 0;
  for (int64_t chunk = 0; chunk < chunks.count(); chunk++) sum += partial[chunk];
  *total.data<float>() = float(sum);
}

void clip_scale(Exec&, In total, Out norm, Out scale, double max_norm) {
  const double length = std::sqrt(double(*total.data<float>()));
  const double ratio = max_norm / (length + 1e-6);
  *norm.data<float>() = float(length);
  *scale.data<float>() = ratio >= 1 ? 1.0f : float(ratio);  // NaN stays NaN: a broken gradient must not look clipped
}

}  // namespace mixwright::cpu::MW_ISA
