// dy and y are read once, dv is written once; 2·T·N·r multiply-adds. A task owns a tile of dv, kTall × kBroad, and goes
// through it in blocks that stay in L1. Its shares of dlow, db and dmagnitude go to slots of their own: dlow's are added up
// over the tiles of a row, the others' over those of a column.
#include "ops/low_rank_grad.h"

#include "cpu/exec.h"
#include "cpu/narrow.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kRows = 48, kColumns = 96;  // a block
constexpr int64_t kTall = 5 * kRows, kBroad = 3 * kColumns;
constexpr int64_t kGrain = 64;
// Below these factors y says too little of v: without a bias and with one. A bias may drown v in a bf16 y at any factor.
constexpr float kSmall = 0x1p-60f, kSmallShifted = 0x1p-6f;

MW_INLINE vf divide(vf x, vf norm) { return select(norm == vf{}, vf{}, x / norm); }

template <class X, class Y>
float dot(const X* x, const Y* y, int64_t n) {
  vf sums = {};
  sweep(n, [&](int64_t i, auto... lanes) { sums += load(x + i, lanes...) * load(y + i, lanes...); });
  return sum(sums);
}

// finish(i, Σ_slot slots[slot · stride + i])
template <class Finish>
void add_slots(const float* slots, int64_t count, int64_t stride, int64_t n, const Finish& finish) {
  sweep(n, [&](int64_t i, auto... lanes) {
    vf total = {};
    for (int64_t slot = 0; slot < count; slot++) total += load(slots + slot * stride + i, lanes...);
    finish(i, total, lanes...);
  });
}
}  // namespace

void low_rank_grad(Exec& exec, In dy, In y, In x, In weight, In low, In b, In magnitude, In norm, In bias, Out dv, Out dlow,
                   Out db, bool accumulate_db, Out dmagnitude, bool accumulate_dmagnitude, float scale) {
  const int64_t T = dy.rows(), N = dy.cols(), r = b.cols(), width = whole_vectors(r);
  require(b.size() == N * r && low.size() == T * r && !magnitude == !norm && (magnitude || !(dv || dmagnitude)) &&
              (!dmagnitude || (x.rows() == T && weight && y.dtype == dy.dtype)) && (!dv || dv.dtype == dy.dtype),
          "operands do not fit each other");
  const int64_t tall = pieces(T, kTall), broad = pieces(N, kBroad);
  float* const lows = exec.shared<float>(broad * T * width);                          // [broad][T][width]
  float* const bs = exec.shared<float>(tall * N * (width + 1), 1);                    // [tall][N][width]
  float* const magnitudes = bs + tall * N * width;                                    // [tall][N]
  float* const factor = exec.shared<float>(2 * N + T * width, 2), *const shift = factor + N;
  float* const wide_low = shift + N;
  exec.parallel_range(N, kGrain, [&](int64_t begin, int64_t end) {
    std::fill(shift + begin, shift + end, 0.0f);
    if (bias) {
      with_float_type(bias.dtype, [&](auto type) {
        for (int64_t n = begin; n < end; n++) shift[n] = widen(bias.data<decltype(type)>()[n]);
      });
    }
    if (!magnitude) return std::fill(factor + begin, factor + end, 1.0f);
    with_float_type(magnitude.dtype, [&](auto type) {
      const auto* const m = magnitude.data<decltype(type)>() + begin;
      sweep(end - begin, [&](int64_t n, auto... lanes) {
        store(factor + begin + n, divide(load(m + n, lanes...), load(norm.data<float>() + begin + n, lanes...)), lanes...);
      });
    });
  });
  if (db) {
    exec.parallel_range(T, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; t++) {
        std::fill(wide_low + t * width + r, wide_low + (t + 1) * width, 0.0f);
        std::copy_n(low.data<float>() + t * r, r, wide_low + t * width);
      }
    });
  }
  const bool unclear = bias && y && y.dtype == DType::bf16;
  // Σ dy · v of rows [begin, end) in column n, without y.
  const auto again = [&](int64_t begin, int64_t end, int64_t n) {
    float total = 0;
    with_float_type(dy.dtype, [&](auto y_type) {
      with_float_type(x.dtype, [&](auto x_type) {
        with_float_type(weight.dtype, [&](auto w_type) {
          with_float_type(b.dtype, [&](auto b_type) {
            const auto* const w = weight.data<decltype(w_type)>() + n * x.cols();
            const auto* const own_b = b.data<decltype(b_type)>() + n * r;
            for (int64_t t = begin; t < end; t++) {
              const float base = dot(x.data<decltype(x_type)>() + t * x.cols(), w, x.cols());
              const float v = base + scale * dot(low.data<float>() + t * r, own_b, r);
              total += widen(dy.data<decltype(y_type)>()[t * N + n]) * v;
            }
          });
        });
      });
    });
    return total;
  };
  exec.parallel(tall * broad, [&](int64_t task, Worker& worker) {
    const int64_t row = task / broad * kTall, rows = std::min(kTall, T - row);
    const int64_t col = task % broad * kBroad, cols = std::min(kBroad, N - col);
    float* const block = worker.scratch<float>(kRows * kColumns + kBroad * width);
    float* const right = block + kRows * kColumns;  // [cols][width], scale and factor included
    std::memset(right, 0, size_t(cols * width) * sizeof(float));
    with_float_type(b.dtype, [&](auto type) {
      const auto* const from = b.data<decltype(type)>() + col * r;
      for (int64_t n = 0; n < cols; n++) {
        for (int64_t k = 0; k < r; k++) right[n * width + k] = scale * factor[col + n] * widen(from[n * r + k]);
      }
    });
    float* const own_low = lows + (task % broad * T + row) * width;
    float* const own_b = bs + (task / broad * N + col) * width;
    float* const own_magnitude = magnitudes + task / broad * N + col;
    std::fill_n(own_magnitude, cols, 0.0f);
    with_float_type(dy.dtype, [&](auto type) {
      using E = decltype(type);
      for (int64_t i = 0; i < rows; i += kRows) {
        for (int64_t j = 0; j < cols; j += kColumns) {
          const int64_t height = std::min(kRows, rows - i), breadth = std::min(kColumns, cols - j);
          const int64_t ahead = j + kColumns < cols ? kColumns : kRows * N - j;  // where the next block lies
          for (int64_t t = 0; t < height; t++) {
            const int64_t at = (row + i + t) * N + col + j;
            const E *const from = dy.data<E>() + at, *const kept = dmagnitude ? y.data<E>() + at : nullptr;
            E* const to = dv ? dv.data<E>() + at : nullptr;
            const float *const factors = factor + col + j, *const shifts = shift + col + j;
            float *const copy = block + t * kColumns, *const products = own_magnitude + j;
            ask(from + ahead, kColumns);
            if (kept) ask(kept + ahead, kColumns);
            if (to) ask<true>(to + ahead, kColumns);
            sweep(breadth, [&](int64_t n, auto... lanes) {
              const vf d = load(from + n, lanes...);
              store(copy + n, d, lanes...);
              if (to) store(to + n, d * load(factors + n, lanes...), lanes...);
              if (!kept) return;
              const vf part = d * (load(kept + n, lanes...) - load(shifts + n, lanes...));
              store(products + n, load(products + n, lanes...) + part, lanes...);
            });
          }
          if (dlow) {
            narrow_product(block, height, kColumns, 1, {right + j * width, width, width}, breadth, own_low + i * width, width,
                           j > 0);
          }
          if (db) {
            narrow_product(block, breadth, 1, kColumns, {wide_low + (row + i) * width, width, width}, height,
                           own_b + j * width, width, i > 0);
          }
        }
      }
    });
    for (int64_t n = 0; dmagnitude && n < cols; n++) {
      const float by = factor[col + n];
      own_magnitude[n] = unclear || std::abs(by) < (bias ? kSmallShifted : kSmall) ? again(row, row + rows, col + n) : own_magnitude[n] / by;
    }
  });
  if (dlow) {
    exec.parallel_range(T, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; t++) {
        float* const to = dlow.data<float>() + t * r;
        add_slots(lows + t * width, broad, T * width, r, [&](int64_t i, vf total, auto... lanes) { store(to + i, total, lanes...); });
      }
    });
  }
  exec.parallel_range(db || dmagnitude ? N : 0, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; db && n < end; n++) {
      float* const to = db.data<float>() + n * r;
      add_slots(bs + n * width, tall, N * width, r, [&](int64_t i, vf total, auto... lanes) {
        total *= scale * factor[n];
        store(to + i, accumulate_db ? total + load(to + i, lanes...) : total, lanes...);
      });
    }
    if (!dmagnitude) return;
    float* const to = dmagnitude.data<float>() + begin;
    add_slots(magnitudes + begin, tall, N, end - begin, [&](int64_t i, vf total, auto... lanes) {
      total = divide(total, load(norm.data<float>() + begin + i, lanes...));
      store(to + i, accumulate_dmagnitude ? total + load(to + i, lanes...) : total, lanes...);
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
