// Rows with a target are taken 1024 at a time, the vocabulary in blocks, so that a block of logits is 4 MB at most. Forward:
// T·V·D multiply-adds, weight read once for each 1024 rows; a running maximum and sum of each row go from block to block
// (Milakov and Gimelshein 2018). Backward: the block again, as dlogits, then dx and dweight from it: three times the work.
// A task owns a tile of the block, of dx or of dweight; blocks follow each other in a fixed order. A bf16 dweight is rounded
// once for each 1024 rows.
#include "ops/linear_cross_entropy.h"

#include <string>
#include <vector>

#include "cpu/gemm.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kRows = 1024;
constexpr int64_t kBlockFloats = 1 << 20;
constexpr int32_t kIgnored = -100;
constexpr int kBlockSlot = 1, kSumsSlot = 2;  // of exec.shared; the matrix core has slot 0

std::vector<int32_t> rows_with_target(const In& targets, int64_t V) {
  std::vector<int32_t> rows;
  const int32_t* const target = targets.data<int32_t>();
  for (int64_t t = 0; t < targets.size(); t++) {
    if (target[t] == kIgnored) continue;
    if (target[t] < 0 || target[t] >= V) {
      throw KernelError("row " + std::to_string(t) + " holds target " + std::to_string(target[t]) +
                        ", the vocabulary has " + std::to_string(V) + " entries");
    }
    rows.push_back(int32_t(t));
  }
  return rows;
}

// Columns of a block of `rows` rows.
int64_t block_cols(int64_t rows, int64_t V) {
  return even_piece(V, std::max<int64_t>(kBlockFloats / rows / kPanel, 1) * kPanel, kPanel);
}

// The largest logit of a row so far, and the sum of e^(logit - largest): f32 within 256 logits, double across.
struct Running {
  float largest = -INFINITY, target = 0;
  double total = 0;

  void add(const float* logits, int64_t n) {
    vf high = splat(largest);
    sweep(
        n, [&](int64_t i) { high = max(load(logits + i), high); },
        [&](int64_t i, int64_t left) {
          for (int64_t k = i; k < i + left; k++) high = max(splat(logits[k]), high);
        });
    const float now = max_lane(high);
    total *= std::exp(double(largest) - now);
    largest = now;
    for (int64_t begin = 0; begin < n; begin += 256) {
      vf sums = {};
      sweep(
          std::min<int64_t>(256, n - begin), [&](int64_t i) { sums += exp(load(logits + begin + i) - now); },
          [&](int64_t i, int64_t left) {
            for (int64_t k = i; k < i + left; k++) total += std::exp(double(logits[begin + k]) - now);
          });
      total += sum(sums);
    }
  }
};

// dx[rows[i]] = sums[i], or is added to.
void add_rows(Exec& exec, const Out& dx, const int32_t* rows, int64_t count, const float* sums, bool accumulate) {
  const int64_t D = dx.cols();
  with_float_type(dx.dtype, [&](auto type) {
    using T = decltype(type);
    exec.parallel_range(count, 32, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        T* const y = dx.data<T>() + rows[i] * D;
        const float* const s = sums + i * D;
        for (int64_t d = 0; d < D; d++) narrow(accumulate ? widen(y[d]) + s[d] : s[d], y[d]);
      }
    });
  });
}

void zero(const Out& y) { std::memset(y.memory, 0, size_t(y.bytes())); }
}  // namespace

void linear_cross_entropy(Exec& exec, In x, In weight, In targets, Out logprob, Out lse) {
  const int64_t T = targets.size(), V = weight.dim[0], D = weight.cols();
  require(x.size() == T * D && logprob.size() == T && lse.size() == T, "operands do not fit each other");
  const std::vector<int32_t> rows = rows_with_target(targets, V);
  std::memset(logprob.memory, 0, size_t(T) * sizeof(float));
  std::memset(lse.memory, 0, size_t(T) * sizeof(float));
  const int64_t count = int64_t(rows.size()), most = even_piece(count, kRows, 1);
  const Operand vocabulary{weight.memory, weight.dtype, D, true};
  for (int64_t first = 0; first < count; first += most) {
    const int32_t* const row = rows.data() + first;
    const int64_t n = std::min(most, count - first), cols = block_cols(n, V);
    float* const logits = exec.shared<float>(n * cols, kBlockSlot);
    std::vector<Running> running(size_t(n), Running{});
    for (int64_t v = 0; v < V; v += cols) {
      const int64_t vs = std::min(cols, V - v);
      gemm(exec, Operand{x.memory, x.dtype, D, true, row}, vocabulary.from(v), n, vs, D,
           Store{logits, DType::f32, vs});
      exec.parallel_range(n, 16, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
          running[size_t(i)].add(logits + i * vs, vs);
          const int64_t target = targets.data<int32_t>()[row[i]] - v;
          if (target >= 0 && target < vs) running[size_t(i)].target = logits[i * vs + target];
        }
      });
    }
    for (int64_t i = 0; i < n; i++) {
      const Running& r = running[size_t(i)];
      lse.data<float>()[row[i]] = float(r.largest + std::log(r.total));
      logprob.data<float>()[row[i]] = r.target - lse.data<float>()[row[i]];
    }
  }
}

void linear_cross_entropy_grad(Exec& exec, In dlogprob, In x, In weight, In targets, In lse, Out dx, Out dweight,
                               bool accumulate_dx, bool accumulate_dweight) {
  const int64_t T = targets.size(), V = weight.dim[0], D = weight.cols();
  require(x.size() == T * D && dlogprob.size() == T && lse.size() == T, "operands do not fit each other");
  const std::vector<int32_t> rows = rows_with_target(targets, V);
  const int64_t count = int64_t(rows.size()), most = even_piece(count, kRows, 1);
  if (dx && !accumulate_dx) zero(dx);
  if (dweight && !accumulate_dweight && count == 0) zero(dweight);
  for (int64_t first = 0; first < count; first += most) {
    const int32_t* const row = rows.data() + first;
    const int64_t n = std::min(most, count - first), cols = block_cols(n, V);
    float* const block = exec.shared<float>(n * cols, kBlockSlot);
    float* const dx_sums = dx ? exec.shared<float>(n * D, kSumsSlot) : nullptr;
    const Operand left{x.memory, x.dtype, D, true, row};
    for (int64_t v = 0; v < V; v += cols) {
      const int64_t vs = std::min(cols, V - v);
      const Operand right = Operand{weight.memory, weight.dtype, D, true}.from(v);
      const auto to_dlogits = [&](int64_t i, int64_t j, int64_t block_rows, int64_t block_cols, const float* s, int64_t ld) {
        for (int64_t r = 0; r < block_rows; r++) {
          const int64_t t = row[i + r];
          const float g = dlogprob.data<float>()[t], l = lse.data<float>()[t];
          float* const d = block + (i + r) * vs + j;
          const float* const logits = s + r * ld;
          sweep(
              block_cols, [&](int64_t c) { store(d + c, exp(load(logits + c) - l) * -g); },
              [&](int64_t c, int64_t k) { store(d + c, exp(load(logits + c, k) - l) * -g, k); });
          const int64_t target = targets.data<int32_t>()[t] - v - j;
          if (target >= 0 && target < block_cols) d[target] += g;
        }
      };
      gemm(exec, left, right, n, vs, D, to_dlogits);
      if (dx) {
        gemm(exec, Operand{block, DType::f32, vs, true}, Operand{right.memory, right.dtype, D, false}, n, D, vs,
             Store{dx_sums, DType::f32, D, 1, v > 0});
      }
      if (dweight) {
        gemm(exec, Operand{block, DType::f32, vs, false}, Operand{x.memory, x.dtype, D, false, row}, vs, D, n,
             Store{dweight.data<char>() + v * D * bytes_of(dweight.dtype), dweight.dtype, D, 1,
                   accumulate_dweight || first > 0});
      }
    }
    if (dx) add_rows(exec, dx, row, n, dx_sums, accumulate_dx);
  }
}

}  // namespace mixwright::cpu::MW_ISA
