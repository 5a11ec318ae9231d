// Bytes moved: copy 8·n, triad 12·n, read 4·n, as STREAM counts them: the line that a store first fetches is not counted.
// A task owns 16384 elements. The stores are ordinary ones, as in the kernels that are compared with them.
#include "ops/ceiling.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kGrain = 16384;
constexpr int kChains = 10;  // two units of latency 4 need 8; more than 12 would not stay in registers

void copy_range(const float* a, float* c, int64_t n) {
  sweep(n, [&](int64_t i, auto... lanes) { store(c + i, load(a + i, lanes...), lanes...); });
}

void triad_range(const float* a, const float* b, float* c, int64_t n) {
  sweep(n, [&](int64_t i, auto... lanes) {
    store(c + i, load(a + i, lanes...) + 3.0f * load(b + i, lanes...), lanes...);
  });
}

float read_range(const float* a, int64_t n) {
  vf part[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int k = 0; k < 4; k++) part[k] += load(a + i + k * kLanes);
  }
  float total = sum((part[0] + part[1]) + (part[2] + part[3]));
  for (; i < n; i++) total += a[i];
  return total;
}
}  // namespace

void fma_peak(Exec& exec, Out y, int64_t flops) {
  const int64_t rounds = flops / (2 * kLanes * kChains);
  exec.parallel(y.size(), [&](int64_t task, Worker&) {
    const vf factor = splat(0.999f), term = splat(0.001f);
    vf chain[kChains];
    for (int i = 0; i < kChains; i++) chain[i] = splat(float(i + 2));  // 1 is a fixed point, and the compiler sees it
    for (int64_t round = 0; round < rounds; round++) {
      for (int i = 0; i < kChains; i++) chain[i] = chain[i] * factor + term;
    }
    vf total = {};
    for (int i = 0; i < kChains; i++) total += chain[i];
    y.data<float>()[task] = sum(total);
  });
}

void stream_copy(Exec& exec, In a, Out c) {
  exec.parallel_range(c.size(), kGrain, [&](int64_t begin, int64_t end) {
    copy_range(a.data<float>() + begin, c.data<float>() + begin, end - begin);
  });
}

void stream_triad(Exec& exec, In a, In b, Out c) {
  exec.parallel_range(c.size(), kGrain, [&](int64_t begin, int64_t end) {
    triad_range(a.data<float>() + begin, b.data<float>() + begin, c.data<float>() + begin, end - begin);
  });
}

void stream_read(Exec& exec, In a, Out y) {
  require(y.size() * kGrain >= a.size(), "stream_read takes one sum for each 16384 elements");
  exec.parallel_range(a.size(), kGrain, [&](int64_t begin, int64_t end) {
    y.data<float>()[begin / kGrain] = read_range(a.data<float>() + begin, end - begin);
  });
}

}  // namespace mixwright::cpu::MW_ISA
