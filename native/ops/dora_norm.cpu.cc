// dora_norm: W is read once, straight from memory, in E·N·r·K multiply-adds. First A is packed in pieces of kDepth, with
// each piece's share of A·Aᵀ; a task owns a piece of one expert. Then a task owns 96 rows of one expert, and multiplies
// them by piece after piece. row_sum_squares: N·K elements are read once; a task owns 16 rows.
#include "ops/dora_norm.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/narrow.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kRows = 96, kDepth = 2048;
constexpr int64_t kWidened = 512, kWideStride = kWidened + 16;  // rows a power of two apart would share cache sets

// sums (+)= ks elements of `count` rows of x · panel; bf16 is widened six rows at a time.
void multiply(const float* x, int64_t count, int64_t stride, const float* panel, int64_t width, int64_t ks, float*,
              float* sums, bool add) {
  narrow_product<true>(x, count, stride, 1, panel, width, ks, sums, add);
}

void multiply(const bf16* x, int64_t count, int64_t stride, const float* panel, int64_t width, int64_t ks, float* wide,
              float* sums, bool add) {
  for (int64_t i = 0; i < count; i += kNarrowRows) {
    const int64_t rows = std::min<int64_t>(kNarrowRows, count - i);
    for (int64_t k = 0; k < ks; k += kWidened) {
      const int64_t part = std::min(kWidened, ks - k);
      for (int64_t r = 0; r < rows; r++) {
        sweep(part, [&](int64_t n, auto... lanes) {
          store(wide + r * kWideStride + n, load(x + (i + r) * stride + k + n, lanes...), lanes...);
        });
      }
      narrow_product<false>(wide, rows, kWideStride, 1, panel + k * width, width, part, sums + i * width, add || k > 0);
    }
  }
}

struct Adapter {
  int64_t K, r, width, steps;
  const float* panels;  // [E][K][width]
  const float* grams;   // [E][steps][r][width], to be added up
};

Adapter pack_adapter(Exec& exec, In a, int64_t E, int64_t r, int64_t K) {
  const int64_t width = narrow_width(r), steps = pieces(K, kDepth);
  float* const panels = exec.shared<float>(E * K * width);
  float* const grams = exec.shared<float>(E * steps * r * width, 1);
  with_float_type(a.dtype, [&](auto type) {
    using T = decltype(type);
    exec.parallel(E * steps, [&](int64_t task, Worker& worker) {
      const int64_t e = task / steps, k = task % steps * kDepth, ks = std::min(kDepth, K - k);
      const T* const rows = a.data<T>() + e * r * K + k;
      float* const panel = panels + (e * K + k) * width;
      narrow_pack(rows, K, r, ks, panel, width);
      multiply(rows, r, K, panel, width, ks, worker.scratch<float>(kNarrowRows * kWideStride), grams + task * r * width, false);
    });
  });
  return {K, r, width, steps, panels, grams};
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
    float* const wide = worker.scratch<float>(kNarrowRows * kWideStride + (kRows + r + 1) * width);
    float *const cross = wide + kNarrowRows * kWideStride, *const gram = cross + kRows * width, *const own = gram + r * width;
    std::memset(cross, 0, size_t(kRows + r + 1) * width * sizeof(float));
    for (int64_t step = 0; step < adapter.steps; step++) {
      const int64_t k = step * kDepth, ks = std::min(kDepth, K - k);
      with_float_type(weight.dtype, [&](auto type) {
        const auto* const row = weight.data<decltype(type)>() + first * K + k;
        multiply(row, rows, K, adapter.panels + (e * K + k) * width, width, ks, wide, cross, true);
      });
      const float* const part = adapter.grams + (e * adapter.steps + step) * r * width;
      for (int64_t i = 0; i < r * width; i += kLanes) store(gram + i, load(gram + i) + load(part + i));
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
