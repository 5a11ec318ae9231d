// dora_norm: W is read once, straight from memory, in E·N·r·K multiply-adds. First A is packed in pieces of kPackDepth, with
// each piece's share of A·Aᵀ; a task owns a piece of one expert. Then a task owns 96 rows of one expert, and multiplies
// them by kDepth of A at a time. row_sum_squares: N·K elements are read once; a task owns 16 rows.
#include "ops/dora_norm.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/narrow.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kRows = 96, kDepth = 2048, kPackDepth = 512;

struct Adapter {
  int64_t K, r, width, parts;
  const float* panels;  // [E][K][width]
  const float* grams;   // [E][parts][r][width], to be added up
};

Adapter pack_adapter(Exec& exec, In a, int64_t E, int64_t r, int64_t K) {
  const int64_t width = whole_vectors(r), parts = pieces(K, kPackDepth);
  float* const panels = exec.shared<float>(E * K * width);
  float* const grams = exec.shared<float>(E * parts * r * width, 1);
  with_float_type(a.dtype, [&](auto type) {
    using T = decltype(type);
    exec.parallel(E * parts, [&](int64_t task, Worker& worker) {
      const int64_t e = task / parts, k = task % parts * kPackDepth, ks = std::min(kPackDepth, K - k);
      const T* const rows = a.data<T>() + e * r * K + k;
      float* const panel = panels + (e * K + k) * width;
      narrow_pack(rows, K, r, ks, panel, width);
      stream_rows(rows, r, K, {panel, width, width}, ks, nullptr, 0, worker.scratch<float>(kStreamScratch),
                  grams + task * r * width, false);
    });
  });
  return {K, r, width, parts, panels, grams};
}

// b · (2s·cross + s²·gram·b), all lanes at once.
float change(const float* b, const float* cross, const float* gram, const Adapter& of, float scale) {
  vf total = {};
  for (int64_t c = 0; c < of.width; c += kLanes) {
    vf product = {};
    for (int64_t j = 0; j < of.r; j++) product += splat(b[j]) * load(gram + j * of.width + c);
    total += load(b + c) * (2.0f * scale * load(cross + c) + scale * scale * product);
  }
  return sum(total);
}
}  // namespace

void dora_norm(Exec& exec, In weight, In weight_square, In a, In b, Out norm, float scale) {
  if (norm.size() == 0) return;
  const int64_t E = weight.rank == 3 ? weight.dim[0] : 1, N = norm.size() / E, r = a.size() == 0 ? 0 : a.rows() / E;
  const int64_t K = r == 0 ? 0 : a.cols(), blocks = pieces(N, kRows);
  require(weight_square.size() == E * N && b.size() == E * N * r && (r == 0 || weight.size() == E * N * K),
          "operands do not fit each other");
  const Adapter adapter = pack_adapter(exec, a, E, r, K);
  const int64_t width = adapter.width;
  exec.parallel(E * blocks, [&](int64_t task, Worker& worker) {
    const int64_t e = task / blocks, first = e * N + task % blocks * kRows, rows = std::min(kRows, (e + 1) * N - first);
    float* const wide = worker.scratch<float>(kStreamScratch + (kRows + r + 1) * width);
    float *const cross = wide + kStreamScratch, *const gram = cross + kRows * width, *const own = gram + r * width;
    std::memset(cross, 0, size_t(kRows + r + 1) * width * sizeof(float));
    for (int64_t k = 0; k < K; k += kDepth) {
      with_float_type(weight.dtype, [&](auto type) {
        const auto* const row = weight.data<decltype(type)>() + first * K + k;
        const Panel panel{adapter.panels + (e * K + k) * width, width, width};
        stream_rows(row, rows, K, panel, std::min(kDepth, K - k), nullptr, 0, wide, cross, true);
      });
    }
    for (int64_t part = 0; part < adapter.parts; part++) {
      const float* const own_gram = adapter.grams + (e * adapter.parts + part) * r * width;
      for (int64_t i = 0; i < r * width; i += kLanes) store(gram + i, load(gram + i) + load(own_gram + i));
    }
    with_float_type(b.dtype, [&](auto type) {
      const auto* const from = b.data<decltype(type)>() + first * r;
      for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < r; j++) own[j] = widen(from[i * r + j]);
        const float total = weight_square.data<float>()[first + i] + change(own, cross + i * width, gram, adapter, scale);
        norm.data<float>()[first + i] = std::sqrt(total < 0 ? 0 : total);
      }
    });
  });
}

void row_sum_squares(Exec& exec, In x, Out y) {
  const int64_t N = y.size(), K = N == 0 ? 0 : x.size() / N;
  with_float_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    exec.parallel_range(N, 16, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; n++) {
        const T* const row = x.data<T>() + n * K;
        constexpr int64_t kStep = 4 * kLanes;
        vf squares[4] = {};
        int64_t k = 0;
        for (; k + kStep <= K; k += kStep) {
          for (int i = 0; i < 4; i++) {
            const vf v = load(row + k + i * kLanes);
            squares[i] += v * v;
          }
        }
        sweep(K - k, [&](int64_t i, auto... lanes) {
          const vf v = load(row + k + i, lanes...);
          squares[0] += v * v;
        });
        y.data<float>()[n] = sum((squares[0] + squares[1]) + (squares[2] + squares[3]));
      }
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
