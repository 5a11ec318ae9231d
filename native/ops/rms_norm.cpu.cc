// Bytes moved: forward 2·T·D elements (a row stays in L1 between its two passes); backward 3·T·D.
// A task owns 32 rows.
#include "ops/rms_norm.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kRows = 32;

template <class T>
void forward_row(const T* x, const T* weight, T* y, float* rstd, int64_t D, float eps) {
  vf squares = {};
  sweep(
      D, [&](int64_t i) { const vf v = load(x + i); squares += v * v; },
      [&](int64_t i, int64_t n) { const vf v = load(x + i, n); squares += v * v; });
  const float r = 1.0f / std::sqrt(sum(squares) / float(D) + eps);
  *rstd = r;
  sweep(
      D, [&](int64_t i) { store(y + i, load(x + i) * r * load(weight + i)); },
      [&](int64_t i, int64_t n) { store(y + i, load(x + i, n) * r * load(weight + i, n), n); });
}

// Adds this row's share of dweight to `partial` when that is given.
template <class T>
void backward_row(const T* dy, const T* x, const T* weight, float r, T* dx, float* partial, int64_t D) {
  if (partial) {
    sweep(
        D, [&](int64_t i) { store(partial + i, load(partial + i) + load(dy + i) * load(x + i) * r); },
        [&](int64_t i, int64_t n) { store(partial + i, load(partial + i, n) + load(dy + i, n) * load(x + i, n) * r, n); });
  }
  if (!dx) return;
  vf dot = {};
  sweep(
      D, [&](int64_t i) { dot += load(dy + i) * load(weight + i) * load(x + i); },
      [&](int64_t i, int64_t n) { dot += load(dy + i, n) * load(weight + i, n) * load(x + i, n); });
  const float scale = r * r * sum(dot) / float(D);
  sweep(
      D, [&](int64_t i) { store(dx + i, (load(dy + i) * load(weight + i) - load(x + i) * scale) * r); },
      [&](int64_t i, int64_t n) {
        store(dx + i, (load(dy + i, n) * load(weight + i, n) - load(x + i, n) * scale) * r, n);
      });
}
}  // namespace

void rms_norm(Exec& exec, In x, In weight, Out y, Out rstd, float eps) {
  const int64_t T = x.rows(), D = x.cols();
  with_float_type(x.dtype, [&](auto type) {
    using E = decltype(type);
    exec.parallel_range(T, kRows, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; t++) {
        forward_row(x.data<E>() + t * D, weight.data<E>(), y.data<E>() + t * D, rstd.data<float>() + t, D, eps);
      }
    });
  });
}

void rms_norm_grad(Exec& exec, In dy, In x, In weight, In rstd, Out dx, Out dweight, Out partial) {
  const int64_t T = x.rows(), D = x.cols();
  const int64_t blocks = (T + kRows - 1) / kRows;
  with_float_type(x.dtype, [&](auto type) {
    using E = decltype(type);
    exec.parallel(blocks, [&](int64_t block, Worker&) {
      float* sums = dweight ? partial.data<float>() + block * D : nullptr;
      if (sums) std::memset(sums, 0, size_t(D) * sizeof(float));
      for (int64_t t = block * kRows; t < T && t < (block + 1) * kRows; t++) {
        backward_row(dy.data<E>() + t * D, x.data<E>() + t * D, weight.data<E>(), rstd.data<float>()[t],
                     dx ? dx.data<E>() + t * D : nullptr, sums, D);
      }
    });
    if (!dweight) return;
    exec.parallel_range(D, 256, [&](int64_t begin, int64_t end) {
      for (int64_t d = begin; d < end; d++) {
        float total = 0;
        for (int64_t block = 0; block < blocks; block++) total += partial.data<float>()[block * D + d];
        narrow(total, dweight.data<E>()[d]);
      }
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
