// x is read once (cuda/narrow.h). low_rank_down: a block owns 64 rows, or one part of K of them; low_rank_down_grad: 64 columns
// of da and one part of the rows. The parts' sums, in scratch, are added in order.
#include "ops/low_rank_down.h"

#include "cuda/narrow.h"

namespace mixwright::cuda {

namespace {
struct Dropped {
  static constexpr int kBlocks = 3;
  Drop drop;
  int64_t cols, column;

  __device__ void begin(int64_t from, int) { column = from; }
  __device__ void ahead(int, int64_t, bool) {}
  __device__ void see(int, int64_t row, bool, float (&v)[4]) const {
    if (drop.limit > 0) drop.keep(row * cols + column, v);
  }
  __device__ void end(int64_t, float*) {}
};
}  // namespace

void low_rank_down(Exec& exec, In x, In a, Out low, float p, int64_t seed, int64_t stream) {
  if (low.size() == 0) return;
  const int64_t T = low.rows(), r = low.cols(), K = a.cols();
  require(x.size() == T * K && a.size() == r * K, "operands do not fit each other");
  with_float_type(x.dtype, [&](auto type) {
    Down<decltype(type)> of{x.data<decltype(type)>(), a, low.data<float>(), 1, T, K, r, 1, K, 0, 0, 0, false, false, {}};
    of.drop = Drop(p, seed, stream);
    narrow_down(exec, of, 4);
  });
}

void low_rank_down_grad(Exec& exec, In x, In dlow, Out da, bool accumulate, float p, int64_t seed, int64_t stream) {
  if (da.size() == 0) return;
  const int64_t r = da.rows(), K = da.cols(), T = dlow.rows(), parts = across_parts(T, K).count;
  require(x.size() == T * K && dlow.size() == T * r, "operands do not fit each other");
  float* const sums = exec.scratch<float>(parts * r * K, 4);
  const Dropped visit{Drop(p, seed, stream), K, 0};
  with_float_type(x.dtype, [&](auto type) {
    using X = decltype(type);
    narrow_across(exec, Across<X>{x.data<X>(), dlow.data<float>(), sums, T, K, r, 1, K, visit.drop.scale}, visit);
  });
  add_parts(exec, sums, parts, r * K, da.data<float>(), accumulate);
}

}  // namespace mixwright::cuda
