// Bytes moved: forward 2·R·N elements, backward 3·R·N. A task owns 32 rows. They may belong to several experts: the rows
// of expert e in block b form a segment, and its share of dmagnitude goes to slot b + e. From one segment to the next
// b, e or both grow, so no slot is taken twice and there are fewer than blocks + E.
#include "ops/dora_compose.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kRows = 32, kColumns = 128;

// Whose rows are whose. Without offsets one expert has them all.
struct Experts {
  Experts(In offsets, int64_t rows) : offset(offsets ? offsets.data<int32_t>() : whole), whole{0, int32_t(rows)} {
    count = offsets ? offsets.size() - 1 : 1;
    require_offsets(offset, count, rows);
  }
  const int32_t* offset;
  int32_t whole[2];
  int64_t count;
};

// Calls body(expert, begin, end) for each segment of rows [begin, end).
template <class Body>
void over_segments(const Experts& experts, int64_t begin, int64_t end, Body&& body) {
  for (int64_t e = 0; begin < end; e++) {
    const int64_t stop = experts.offset[e + 1] < end ? experts.offset[e + 1] : end;
    if (begin < stop) {
      body(e, begin, stop);
      begin = stop;
    }
  }
}

template <class T>
void widen_row(const T* x, float* y, int64_t N) {
  sweep(N, [&](int64_t i, auto... lanes) { store(y + i, load(x + i, lanes...), lanes...); });
}

MW_INLINE vf divide(vf x, vf norm) { return select(norm == vf{}, vf{}, x / norm); }

// factor = magnitude / norm, for expert e.
void factor_row(In magnitude, In norm, int64_t e, float* factor, int64_t N) {
  with_float_type(magnitude.dtype, [&](auto type) {
    const auto* m = magnitude.data<decltype(type)>() + e * N;
    const float* n = norm.data<float>() + e * N;
    sweep(N, [&](int64_t i, auto... lanes) {
      store(factor + i, divide(load(m + i, lanes...), load(n + i, lanes...)), lanes...);
    });
  });
}

template <class T>
void forward_row(const T* v, const float* factor, const float* bias, T* y, int64_t N) {
  sweep(N, [&](int64_t i, auto... lanes) {
    vf out = load(factor + i, lanes...) * load(v + i, lanes...);
    if (bias) out += load(bias + i, lanes...);
    store(y + i, out, lanes...);
  });
}

// dv = factor · dy, and partial += dy · v when that is given.
template <class T>
void backward_row(const T* dy, const T* v, const float* factor, T* dv, float* partial, int64_t N) {
  sweep(N, [&](int64_t i, auto... lanes) {
    const vf d = load(dy + i, lanes...);
    if (partial) store(partial + i, load(partial + i, lanes...) + d * load(v + i, lanes...), lanes...);
    store(dv + i, load(factor + i, lanes...) * d, lanes...);
  });
}
// out (+)= (Σ of the slots of rows [first, end)) / norm
template <class T>
void add_partials(const float* partials, int64_t first, int64_t end, const float* norm, T* out, int64_t N, int64_t width,
                  bool accumulate) {
  sweep(width, [&](int64_t i, auto... lanes) {
    vf total = {};
    for (int64_t row = first; row < end; row += kRows - row % kRows) {
      total += load(partials + row / kRows * N + i, lanes...);
    }
    total = divide(total, load(norm + i, lanes...));
    if (accumulate) total += load(out + i, lanes...);
    store(out + i, total, lanes...);
  });
}
}  // namespace

void dora_compose(Exec& exec, In v, In magnitude, In norm, In bias, In offsets, Out y) {
  const int64_t R = v.rows(), N = v.cols();
  const Experts experts(offsets, R);
  exec.parallel((R + kRows - 1) / kRows, [&](int64_t block, Worker& worker) {
    float *factor = worker.scratch<float>(2 * N), *wide_bias = bias ? factor + N : nullptr;
    if (bias) with_float_type(bias.dtype, [&](auto type) { widen_row(bias.data<decltype(type)>(), wide_bias, N); });
    const int64_t last = (block + 1) * kRows < R ? (block + 1) * kRows : R;
    over_segments(experts, block * kRows, last, [&](int64_t e, int64_t begin, int64_t end) {
      factor_row(magnitude, norm, e, factor, N);
      with_float_type(v.dtype, [&](auto type) {
        using T = decltype(type);
        for (int64_t i = begin; i < end; i++) forward_row(v.data<T>() + i * N, factor, wide_bias, y.data<T>() + i * N, N);
      });
    });
  });
}

void dora_compose_grad(Exec& exec, In dy, In v, In magnitude, In norm, In offsets, Out dv, Out dmagnitude,
                       bool accumulate) {
  const int64_t R = dv.rows(), N = dv.cols(), blocks = (R + kRows - 1) / kRows;
  const Experts experts(offsets, R);
  float* partials = dmagnitude ? exec.shared<float>((blocks + experts.count) * N) : nullptr;
  exec.parallel(blocks, [&](int64_t block, Worker& worker) {
    float* factor = worker.scratch<float>(N);
    const int64_t last = (block + 1) * kRows < R ? (block + 1) * kRows : R;
    over_segments(experts, block * kRows, last, [&](int64_t e, int64_t begin, int64_t end) {
      factor_row(magnitude, norm, e, factor, N);
      float* partial = dmagnitude ? partials + (block + e) * N : nullptr;
      if (partial) std::memset(partial, 0, size_t(N) * sizeof(float));
      with_float_type(dv.dtype, [&](auto type) {
        using T = decltype(type);
        for (int64_t i = begin; i < end; i++) {
          backward_row(dy.data<T>() + i * N, v.data<T>() + i * N, factor, dv.data<T>() + i * N, partial, N);
        }
      });
    });
  });
  if (!dmagnitude) return;
  with_float_type(dmagnitude.dtype, [&](auto type) {
    const int64_t tiles = (N + kColumns - 1) / kColumns;
    exec.parallel(experts.count * tiles, [&](int64_t task, Worker&) {
      const int64_t e = task / tiles, column = task % tiles * kColumns;
      const int64_t width = column + kColumns < N ? kColumns : N - column;
      add_partials(partials + e * N + column, experts.offset[e], experts.offset[e + 1], norm.data<float>() + e * N + column,
                   dmagnitude.data<decltype(type)>() + e * N + column, N, width, accumulate);
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
