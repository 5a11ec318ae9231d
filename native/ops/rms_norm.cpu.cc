// Bytes moved: forward 2·T·D elements (a row stays in L1 between its two passes); backward 3·T·D.
// A task owns 32 rows, and one row of partial sums for dweight.
#include "ops/rms_norm.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kRows = 32;

template <class T, class W>
void forward_row(const T* x, const W* weight, T* y, float* rstd, int64_t D, float eps) {
  vf squares = {};
  sweep(D, [&](int64_t i, auto... lanes) {
    const vf v = load(x + i, lanes...);
    squares += v * v;
  });
  const float r = 1.0f / std::sqrt(sum(squares) / float(D) + eps);
  *rstd = r;
  sweep(D, [&](int64_t i, auto... lanes) {
    store(y + i, load(x + i, lanes...) * r * load(weight + i, lanes...), lanes...);
  });
}

template <class T>
void add_weight_row(const T* dy, const T* x, float r, float* partial, int64_t D) {
  sweep(D, [&](int64_t i, auto... lanes) {
    store(partial + i, load(partial + i, lanes...) + load(dy + i, lanes...) * load(x + i, lanes...) * r, lanes...);
  });
}

template <class T, class W>
void backward_row(const T* dy, const T* x, const W* weight, float r, T* dx, int64_t D, bool accumulate) {
  vf dot = {};
  sweep(D, [&](int64_t i, auto... lanes) {
    dot += load(dy + i, lanes...) * load(weight + i, lanes...) * load(x + i, lanes...);
  });
  const float scale = r * r * sum(dot) / float(D);
  sweep(D, [&](int64_t i, auto... lanes) {
    vf d = (load(dy + i, lanes...) * load(weight + i, lanes...) - load(x + i, lanes...) * scale) * r;
    if (accumulate) d += load(dx + i, lanes...);
    store(dx + i, d, lanes...);
  });
}
}  // namespace

void rms_norm(Exec& exec, In x, In weight, Out y, Out rstd, float eps) {
  const int64_t D = weight.size(), T = D == 0 ? 0 : x.size() / D;
  with_float_type(x.dtype, [&](auto x_type) {
    with_float_type(weight.dtype, [&](auto weight_type) {
      using E = decltype(x_type);
      using W = decltype(weight_type);
      exec.parallel_range(T, kRows, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; t++) {
          forward_row(x.data<E>() + t * D, weight.data<W>(), y.data<E>() + t * D, rstd.data<float>() + t, D, eps);
        }
      });
    });
  });
}

void rms_norm_grad(Exec& exec, In dy, In x, In weight, In rstd, Out dx, Out dweight, bool accumulate_dx,
                   bool accumulate_dweight) {
  const int64_t D = weight.size(), T = D == 0 ? 0 : x.size() / D;
  const int64_t blocks = (T + kRows - 1) / kRows;
  float* partials = dweight ? exec.shared<float>(blocks * D) : nullptr;
  with_float_type(x.dtype, [&](auto x_type) {
    with_float_type(weight.dtype, [&](auto weight_type) {
      using E = decltype(x_type);
      using W = decltype(weight_type);
      exec.parallel(blocks, [&](int64_t block, Worker&) {
        float* partial = dweight ? partials + block * D : nullptr;
        if (dweight) std::memset(partial, 0, size_t(D) * sizeof(float));
        for (int64_t t = block * kRows; t < T && t < (block + 1) * kRows; t++) {
          const E *dy_row = dy.data<E>() + t * D, *x_row = x.data<E>() + t * D;
          const float r = rstd.data<float>()[t];
          if (dweight) add_weight_row(dy_row, x_row, r, partial, D);
          if (dx) backward_row(dy_row, x_row, weight.data<W>(), r, dx.data<E>() + t * D, D, accumulate_dx);
        }
      });
    });
  });
  if (!dweight) return;
  exec.parallel_range(D, 256, [&](int64_t begin, int64_t end) {
    float* out = dweight.data<float>() + begin;
    sweep(end - begin, [&](int64_t i, auto... lanes) {
      vf total = {};
      for (int64_t block = 0; block < blocks; block++) total += load(partials + block * D + begin + i, lanes...);
      if (accumulate_dweight) total += load(out + i, lanes...);
      store(out + i, total, lanes...);
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
