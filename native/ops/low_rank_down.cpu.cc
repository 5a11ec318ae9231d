// T·K·r multiply-adds, x is read once. low_rank_down: a task owns 48 rows; a is packed before. low_rank_down_grad: a task
// owns 96 columns of da.
#include "ops/low_rank_down.h"

#include <optional>

#include "cpu/exec.h"
#include "cpu/narrow.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kRows = 48, kColumns = 96, kDepth = 2048, kPackDepth = 512;

std::optional<Drop> drop_of(float p, int64_t seed, int64_t stream) {
  return p == 0 ? std::nullopt : std::optional<Drop>(std::in_place, p, seed, stream);
}
}  // namespace

void low_rank_down(Exec& exec, In x, In a, Out low, float p, int64_t seed, int64_t stream) {
  if (low.size() == 0) return;
  const int64_t T = low.rows(), r = low.cols(), K = a.cols(), width = whole_vectors(r);
  require(x.size() == T * K && a.size() == r * K, "operands do not fit each other");
  const auto drop = drop_of(p, seed, stream);
  float* const panels = exec.shared<float>(K * width);
  with_float_type(a.dtype, [&](auto type) {
    exec.parallel_range(K, kPackDepth, [&](int64_t begin, int64_t end) {
      narrow_pack(a.data<decltype(type)>() + begin, K, r, end - begin, panels + begin * width, width);
    });
  });
  exec.parallel(pieces(T, kRows), [&](int64_t task, Worker& worker) {
    const int64_t first = task * kRows, rows = std::min(kRows, T - first);
    float* const scratch = worker.scratch<float>(kStreamScratch + kRows * width);
    float* const sums = scratch + kStreamScratch;
    std::memset(sums, 0, size_t(rows * width) * sizeof(float));
    with_float_type(x.dtype, [&](auto type) {
      const auto* const own = x.data<decltype(type)>() + first * K;
      for (int64_t k = 0; k < K; k += kDepth) {
        stream_rows(own + k, rows, K, {panels + k * width, width, width}, std::min(kDepth, K - k), drop ? &*drop : nullptr,
                    first * K + k, scratch, sums, true);
      }
    });
    for (int64_t i = 0; i < rows; i++) std::memcpy(low.data<float>() + (first + i) * r, sums + i * width, size_t(r) * sizeof(float));
  });
}

void low_rank_down_grad(Exec& exec, In x, In dlow, Out da, bool accumulate, float p, int64_t seed, int64_t stream) {
  if (da.size() == 0) return;
  const int64_t r = da.rows(), K = da.cols(), T = dlow.rows(), width = whole_vectors(r);
  require(x.size() == T * K && dlow.size() == T * r, "operands do not fit each other");
  const auto drop = drop_of(p, seed, stream);
  float* const panels = exec.shared<float>(T * width);
  exec.parallel_range(T, kPackDepth, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      std::memset(panels + t * width, 0, size_t(width) * sizeof(float));
      std::memcpy(panels + t * width, dlow.data<float>() + t * r, size_t(r) * sizeof(float));
    }
  });
  exec.parallel(pieces(K, kColumns), [&](int64_t task, Worker& worker) {
    const int64_t first = task * kColumns, cols = std::min(kColumns, K - first);
    float* const block = worker.scratch<float>(kRows * kColumns + kColumns * width);
    float* const sums = block + kRows * kColumns;  // [cols][width]
    std::memset(sums, 0, size_t(cols * width) * sizeof(float));
    with_float_type(x.dtype, [&](auto type) {
      for (int64_t t = 0; t < T; t += kRows) {
        const int64_t rows = std::min(kRows, T - t), from = t * K + first;
        copy_block(x.data<decltype(type)>() + from, K, rows, cols, drop ? &*drop : nullptr, from, kRows * K, block, kColumns);
        narrow_product(block, cols, 1, kColumns, {panels + t * width, width, width}, rows, sums, width, true);
      }
    });
    for (int64_t k = 0; k < r; k++) {
      float* const row = da.data<float>() + k * K + first;
      for (int64_t c = 0; c < cols; c++) row[c] = sums[c * width + k] + (accumulate ? row[c] : 0.0f);
    }
  });
}

}  // namespace mixwright::cpu::MW_ISA
