// Logits stand in scratch memory, f32, a piece of kPieceFloats or a few more at a time. The products are matmul's; the rest is
// bound by memory.
// Forward: rows in chunks, each against the vocabulary in pieces; a running maximum and sum of each row go from piece to
// piece (Milakov and Gimelshein 2018). A logit is written once and read once.
// Gradients, whose dlogits need the sum over the whole vocabulary first: a chunk of rows, a tile at least, has all its
// logits in memory, which become dlogits in place; or bf16 beside them where x and weight are bf16 too, so that both products
// that follow take bf16 from both sides. A logit is written once, read twice and becomes a dlogit that is read twice. Each
// chunk also reads weight twice and reads and writes dweight: 12 bytes of V·D for bf16. So a chunk has as many rows as D, up to
// kLongRows, though a large vocabulary then has up to kMostFloats logits in memory.
// Rows without a target take part, with dlogits of 0: the host doesn't know which they are.
#include "ops/linear_cross_entropy.h"

#include <algorithm>
#include <cfloat>
#include <type_traits>

#include "cuda/launch.h"
#include "ops/matmul.h"

namespace mixwright::cuda {

namespace {
constexpr int32_t kIgnored = -100;
constexpr int64_t kPieceFloats = limit(1 << 24, 1 << 14), kMostFloats = 1 << 27;
constexpr int64_t kTile = 128, kForwardRows = limit(2048, kTile), kLongRows = 1024, kMostRows = 8192;
constexpr int kSlopeThreads = 256, kSlopesEach = 16, kSumThreads = 1024;
// Of exec.scratch; matmul has those below. What the forward pass keeps for the entropy lies where gradients have slopes.
enum Slot { kLogits = 4, kSlopes, kRunning, kLogProbs, kWeighted = kSlopes };

// The largest logit of a row so far, the sum of e^(logit - largest), and the target's logit.
struct Running {
  double total;
  float largest, target;
};

__device__ inline bool has_target(int32_t target, int64_t V) { return target >= 0 && target < V; }

// For the entropy: what becomes of `weighted`, Σ e^(logit - largest) · (logit - largest), when `largest` rises by -down.
__device__ inline double lowered(double weighted, double total, double down) { return exp(down) * (weighted + down * total); }

// A block owns a row of logits [rows, n], the entries from `begin` of the vocabulary. The last piece gives `logprob`, and
// `entropy`, for which `weighted` goes from piece to piece too.
template <bool kEntropy>
__global__ __launch_bounds__(1024) void add_logits(const float* logits, int64_t n, int64_t begin, int64_t V,
                                                   const int32_t* targets, int64_t first_row, Running* running,
                                                   float* logprob, double* weighted, float* entropy, Report bad_target) {
  __shared__ float warp_floats[33];
  __shared__ double warp_sums[33];
  const int64_t row = blockIdx.x;
  const int32_t target = targets[row];
  if (!has_target(target, V)) {
    if (threadIdx.x != 0) return;
    if (target != kIgnored && begin == 0) report(bad_target, first_row + row, target, V);
    logprob[row] = 0;
    if (kEntropy) entropy[row] = 0;
    return;
  }
  logits += row * n;
  const int64_t threads = blockDim.x;
  float high = -FLT_MAX, total = 0, below = 0;  // below: as `weighted`, of this thread
  for (int64_t i = threadIdx.x; i < n; i += 4 * threads) {
    float x[4];
#pragma unroll
    for (int k = 0; k < 4; k++) x[k] = i + k * threads < n ? logits[i + k * threads] : -INFINITY;
    const float now = fmaxf(fmaxf(x[0], x[1]), fmaxf(x[2], x[3]));
    if (now > high) {
      const float factor = expf(high - now);
      if (kEntropy) below = factor * (below + (high - now) * total);
      total *= factor;
      high = now;
    }
    float e[4];
#pragma unroll
    for (int k = 0; k < 4; k++) e[k] = expf(x[k] - high);
    total += (e[0] + e[1]) + (e[2] + e[3]);
#pragma unroll
    for (int k = 0; kEntropy && k < 4; k++) below += e[k] > 0 ? e[k] * (x[k] - high) : 0;  // 0 · -infinity would be NaN
  }
  const float largest = block_max(high, warp_floats);
  const double sum = block_sum(double(total) * double(expf(high - largest)), warp_sums);
  double weighted_sum = 0;
  if (kEntropy) weighted_sum = block_sum(double(expf(high - largest)) * (below + double(high - largest) * total), warp_sums);
  if (threadIdx.x != 0) return;
  Running r{sum, largest, 0};
  if (begin > 0) {
    const Running before = running[row];
    r.largest = fmaxf(before.largest, largest);
    r.total = before.total * exp(double(before.largest) - r.largest) + sum * exp(double(largest) - r.largest);
    r.target = before.target;
    if (kEntropy) {
      weighted_sum = lowered(weighted[row], before.total, double(before.largest) - r.largest) +
                     lowered(weighted_sum, sum, double(largest) - r.largest);
    }
  }
  if (target >= begin && target < begin + n) r.target = logits[target - begin];
  running[row] = r;
  if (kEntropy) weighted[row] = weighted_sum;
  if (begin + n != V) return;
  logprob[row] = float(r.target - (r.largest + log(r.total)));
  if (kEntropy) entropy[row] = float(log(r.total) - weighted_sum / r.total);
}

// dlogits = d · (onehot - p), with d = dlogprob[row], or `slope` for all rows. dlogits may be on the memory of logits.
template <class Y>
__global__ __launch_bounds__(kSlopeThreads) void take_slopes(const float* logits, int64_t V, const int32_t* targets,
                                                             const Running* running, const float* dlogprob, float slope,
                                                             Y* dlogits) {
  const int64_t row = blockIdx.y;
  const int32_t target = targets[row];
  const bool counts = has_target(target, V);
  const Running r = counts ? running[row] : Running{1, 0, 0};
  const float d = !counts ? 0 : dlogprob ? dlogprob[row] : slope, scale = -d / float(r.total);
  logits += row * V;
  dlogits += row * V;
  const int64_t begin = int64_t(blockIdx.x) * (kSlopeThreads * kSlopesEach) + threadIdx.x;
#pragma unroll
  for (int k = 0; k < kSlopesEach; k += 4) {  // four loads under way: stores may be to the same memory
    const int64_t first = begin + k * kSlopeThreads;
    float x[4];
#pragma unroll
    for (int u = 0; u < 4; u++) x[u] = counts && first + u * kSlopeThreads < V ? logits[first + u * kSlopeThreads] : 0;
#pragma unroll
    for (int u = 0; u < 4; u++) {
      const int64_t i = first + u * kSlopeThreads;
      const float own = counts ? expf(x[u] - r.largest) * scale : 0;
      if (i < V) store_float(dlogits + i, i == target ? own + d : own);
    }
  }
}

__global__ __launch_bounds__(kSumThreads) void sum_logprobs(const float* logprob, int64_t count, float scale, float* loss) {
  __shared__ double warps[33];
  double total = 0;
  for (int64_t i = threadIdx.x; i < count; i += kSumThreads) total += logprob[i];
  total = block_sum(total, warps);
  if (threadIdx.x == 0) *loss = float(-scale * total);
}

template <class V>
V matrix(void* memory, DType dtype, int64_t rows, int64_t cols) {
  V view;
  view.memory = memory;
  view.dtype = dtype;
  view.rank = 2;
  view.dim[0] = rows;
  view.dim[1] = cols;
  return view;
}

// `total` in pieces of about equal size, whole tiles, at most `most` (a multiple of a tile).
int64_t even(int64_t total, int64_t most) {
  return total == 0 ? 1 : std::min(total, pieces(pieces(total, pieces(total, most)), kTile) * kTile);
}

int64_t whole_tiles(int64_t count) { return std::max<int64_t>(count / kTile, 1) * kTile; }

class Rows {
 public:
  Rows(Exec& exec, In x, In weight, In targets)
      : exec_(exec), x_(x), weight_(weight), targets_(targets.data<int32_t>()), T_(targets.size()), V_(weight.dim[0]),
        D_(weight.cols()),
        bad_target_(exec.report("row %lld holds target %lld, the vocabulary has %lld entries")) {}

  void forward(float* logprob, float* entropy) {
    const int64_t most = even(T_, kForwardRows), cols = even(V_, whole_tiles(kPieceFloats / most));
    take_memory(most, cols);
    if (entropy) weighted_ = exec_.scratch<double>(most, kWeighted);
    for (int64_t first = 0; first < T_; first += most) {
      take_logits(first, std::min(most, T_ - first), cols, logprob, entropy ? entropy + first : nullptr);
    }
  }

  // dlogprob or, where it is null, `slope` for all rows.
  void gradients(const float* dlogprob, float slope, float* logprob, Out dx, Out dweight, bool accumulate_dx,
                 bool accumulate_dweight) {
    if (V_ == 0 && dx && !accumulate_dx) exec_.fill(dx.memory, 0, dx.bytes());
    if (T_ == 0 && dweight && !accumulate_dweight) exec_.fill(dweight.memory, 0, dweight.bytes());
    const int64_t V = std::max<int64_t>(V_, 1), longer = std::min({D_, kLongRows, kMostFloats / V});
    const int64_t most = even(T_, std::min(whole_tiles(std::max(kPieceFloats / V, longer)), kMostRows));
    take_memory(most, V_);
    const bool narrow = x_.dtype == DType::bf16 && weight_.dtype == DType::bf16;
    void* const slopes = narrow ? exec_.scratch<bf16>(most * V_, kSlopes) : static_cast<void*>(logits_);
    for (int64_t first = 0; first < T_; first += most) {
      const int64_t rows = std::min(most, T_ - first);
      take_logits(first, rows, V_, logprob, nullptr);
      if (V_ == 0) continue;
      const dim3 grid(unsigned(pieces(V_, kSlopeThreads * kSlopesEach)), unsigned(rows));
      const auto take = [&](auto* y) {
        launch(exec_, take_slopes<std::remove_reference_t<decltype(*y)>>, grid, kSlopeThreads, 0, logits_, V_, targets_ + first,
               running_, dlogprob ? dlogprob + first : nullptr, slope, y);
      };
      narrow ? take(static_cast<bf16*>(slopes)) : take(static_cast<float*>(slopes));
      const In dlogits = matrix<In>(slopes, narrow ? DType::bf16 : DType::f32, rows, V_);
      if (dx) matmul(exec_, dlogits, weight_, In{}, rows_of(dx, first, rows), false, false, 1, accumulate_dx);
      if (!dweight) continue;
      matmul(exec_, dlogits, rows_of(x_, first, rows), In{}, dweight, true, false, 1, accumulate_dweight || first > 0);
    }
  }

 private:
  void take_memory(int64_t rows, int64_t cols) {
    logits_ = exec_.scratch<float>(rows * cols, kLogits);
    running_ = exec_.scratch<Running>(rows, kRunning);
  }

  // entropy: of the first of these rows, or null.
  void take_logits(int64_t first, int64_t rows, int64_t most, float* logprob, float* entropy) {
    int64_t begin = 0;
    do {  // once for a vocabulary of none, whose targets can only be wrong
      const int64_t cols = std::min(most, V_ - begin);
      if (cols > 0) {
        matmul(exec_, rows_of(x_, first, rows), rows_of(weight_, begin, cols), In{},
               matrix<Out>(logits_, DType::f32, rows, cols), false, true, 1, false);
      }
      launch(exec_, entropy ? add_logits<true> : add_logits<false>, dim3(unsigned(rows)), cols >= 8192 ? 1024 : 128, 0, logits_,
             cols, begin, V_, targets_ + first, first, running_, logprob + first, weighted_, entropy, bad_target_);
      begin += most;
    } while (begin < V_);
  }

  Exec& exec_;
  In x_, weight_;
  const int32_t* targets_;
  int64_t T_, V_, D_;
  Report bad_target_;
  float* logits_ = nullptr;
  Running* running_ = nullptr;
  double* weighted_ = nullptr;
};
}  // namespace

void linear_cross_entropy(Exec& exec, In x, In weight, In targets, Out logprob, Out entropy) {
  require(x.size() == targets.size() * weight.cols() && logprob.size() == targets.size(), "operands do not fit each other");
  Rows(exec, x, weight, targets).forward(logprob.data<float>(), entropy.data<float>());
}

void linear_cross_entropy_grad(Exec& exec, In dlogprob, In x, In weight, In targets, Out dx, Out dweight, bool accumulate_dx,
                               bool accumulate_dweight) {
  require(x.size() == targets.size() * weight.cols() && dlogprob.size() == targets.size(), "operands do not fit each other");
  require(!dweight || dweight.dtype == DType::f32, "dweight is f32");
  Rows(exec, x, weight, targets)
      .gradients(dlogprob.data<float>(), 0, exec.scratch<float>(targets.size(), kLogProbs), dx, dweight, accumulate_dx,
                 accumulate_dweight);
}

void linear_cross_entropy_loss(Exec& exec, In x, In weight, In targets, Out loss, Out logprob, Out dx, Out dweight,
                               float scale) {
  require(x.size() == targets.size() * weight.cols() && loss.size() == 1, "operands do not fit each other");
  require(!logprob || logprob.size() == targets.size(), "operands do not fit each other");
  require(!dweight || dweight.dtype == DType::f32, "dweight is f32");
  float* const found = logprob ? logprob.data<float>() : exec.scratch<float>(targets.size(), kLogProbs);
  Rows(exec, x, weight, targets).gradients(nullptr, -scale, found, dx, dweight, false, false);
  launch(exec, sum_logprobs, dim3(1), kSumThreads, 0, found, targets.size(), scale, loss.data<float>());
}

}  // namespace mixwright::cuda
