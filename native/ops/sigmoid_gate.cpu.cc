// Bytes moved: forward 2·T·D elements, backward 3·T·D. A task owns 32 rows.
#include "ops/sigmoid_gate.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kRows = 32;

float sigmoid_of(float gate) { return sigmoid(splat(gate))[0]; }

template <class T>
void forward_row(const T* x, float s, T* y, int64_t D) {
  sweep(D, [&](int64_t i, auto... lanes) { store(y + i, s * load(x + i, lanes...), lanes...); });
}

// dx = s · dy; returns dy · x.
template <class T>
float backward_row(const T* dy, const T* x, float s, T* dx, int64_t D) {
  vf dot = {};
  sweep(D, [&](int64_t i, auto... lanes) {
    const vf d = load(dy + i, lanes...);
    dot += d * load(x + i, lanes...);
    store(dx + i, s * d, lanes...);
  });
  return sum(dot);
}
}  // namespace

void sigmoid_gate(Exec& exec, In x, In gate, Out y) {
  const int64_t T = gate.size(), D = x.cols();
  with_float_type(x.dtype, [&](auto x_type) {
    with_float_type(gate.dtype, [&](auto gate_type) {
      using E = decltype(x_type);
      const auto* g = gate.data<decltype(gate_type)>();
      exec.parallel_range(T, kRows, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; t++) {
          forward_row(x.data<E>() + t * D, sigmoid_of(widen(g[t])), y.data<E>() + t * D, D);
        }
      });
    });
  });
}

void sigmoid_gate_grad(Exec& exec, In dy, In x, In gate, Out dx, Out dgate) {
  const int64_t T = gate.size(), D = x.cols();
  with_float_type(x.dtype, [&](auto x_type) {
    with_float_type(gate.dtype, [&](auto gate_type) {
      using E = decltype(x_type);
      const auto* g = gate.data<decltype(gate_type)>();
      auto* dg = dgate.data<decltype(gate_type)>();
      exec.parallel_range(T, kRows, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; t++) {
          const float s = sigmoid_of(widen(g[t]));
          const float dot = backward_row(dy.data<E>() + t * D, x.data<E>() + t * D, s, dx.data<E>() + t * D, D);
          narrow(dot * s * sigmoid_of(-widen(g[t])), dg[t]);  // 1 - s would cancel for a large gate
        }
      });
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
