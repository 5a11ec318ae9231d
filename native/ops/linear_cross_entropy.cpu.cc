// Forward: rows with a target are taken 1024 at a time, the vocabulary in blocks, so that a block of logits is 4 MB at most;
// a running maximum and sum of each row go from block to block (Milakov and Gimelshein 2018).
// Gradients, whose dlogits need the sum over the whole vocabulary first: a chunk of 64 to 96 rows at a time, all of whose logits
// stand in memory as [V][rows] and become e^logit, then dlogits, in place (Hsu et al. 2024 do so for rows of logits). One pass over the vocabulary
// ends a chunk of rows, with dweight and dx, and takes the logits of the next one into the same place: for a chunk,
// weight is read once and dweight read and written once, 3·rows·V·D multiply-adds.
// A task owns a twelfth of the vocabulary: its dweight, its logits, and a share of dx; shares are added in task order.
#include "ops/linear_cross_entropy.h"

#include <string>
#include <vector>

#include "cpu/gemm.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int32_t kIgnored = -100;

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

void zero(const Out& y) { std::memset(y.memory, 0, size_t(y.bytes())); }

// The largest logit of a row so far, and the sum of e^(logit - largest): f32 within 256 logits, double across. For the entropy
// alone, `weighted` is the sum of e^(logit - largest) · (logit - largest).
struct Running {
  float largest = -INFINITY, target = 0;
  double total = 0, weighted = 0;

  template <bool kEntropy>
  void add(const float* logits, int64_t n) {
    vf high = splat(largest);
    sweep(
        n, [&](int64_t i) { high = max(load(logits + i), high); },
        [&](int64_t i, int64_t left) {
          for (int64_t k = i; k < i + left; k++) high = max(splat(logits[k]), high);
        });
    const float now = max_lane(high);
    const double factor = std::exp(double(largest) - now);
    if (kEntropy && total > 0) weighted = factor * (weighted + (double(largest) - now) * total);
    total *= factor;
    largest = now;
    for (int64_t begin = 0; begin < n; begin += 256) {
      vf sums = {}, weighted_sums = {};
      sweep(
          std::min<int64_t>(256, n - begin),
          [&](int64_t i) {
            const vf below = load(logits + begin + i) - now, e = exp(below);
            sums += e;
            if (kEntropy) weighted_sums += select(e > 0.0f, e * below, vf{});  // 0 · -infinity would be NaN
          },
          [&](int64_t i, int64_t left) {
            for (int64_t k = i; k < i + left; k++) {
              const double below = double(logits[begin + k]) - now, e = std::exp(below);
              total += e;
              if (kEntropy && e > 0) weighted += e * below;
            }
          });
      total += sum(sums);
      if (kEntropy) weighted += sum(weighted_sums);
    }
  }

  // -Σ p · log p: both terms are positive, so that nothing cancels.
  double entropy() const { return std::log(total) - weighted / total; }
};

constexpr int64_t kFewestRows = 64, kMostChunkRows = 96, kChunkFloats = 1 << 21;  // of a chunk of rows
constexpr int64_t kBlock = 96, kGroups = 12;  // entries of the vocabulary; tasks
enum Slot { kPanels, kLogits, kShares, kColumns };  // of exec.shared

// Memory to fetch piece by piece, `bytes` of it while a register block takes `ks` steps, or less: too many lines at once would
// hold up what is loaded.
class Ahead {
 public:
  Ahead(const void* memory, int64_t bytes, int64_t ks)
      : at_(static_cast<const float*>(memory)), groups_(ks / 16), lines_(std::min<int64_t>(6, pieces(bytes, 64 * std::max<int64_t>(groups_, 1)))) {}

  Soon next() {
    const Soon soon{at_, lines_};
    at_ += groups_ * lines_ * 16;
    return soon;
  }

 private:
  const float* at_;
  int64_t groups_, lines_;
};

// Logits, e^(logit - largest of the block) and dlogits of a chunk of rows: [V][ld], a column for each row of x.
class RowChunks {
 public:
  RowChunks(Exec& exec, In x, In weight, In targets, Out dx, Out dweight, bool accumulate_dx, bool accumulate_dweight)
      : exec_(exec), x_(x), weight_(weight), targets_(targets), dx_(dx), dweight_(dweight), accumulate_dx_(accumulate_dx),
        accumulate_dweight_(accumulate_dweight), V_(weight.dim[0]), D_(weight.cols()), rows_(rows_with_target(targets, V_)),
        count_(int64_t(rows_.size())) {
    most_ = even_piece(count_, std::clamp(kChunkFloats / std::max<int64_t>(V_, 1), kFewestRows, kMostChunkRows), 16);
    ld_ = pieces(most_, kLanes) * kLanes;
    blocks_ = pieces(V_, kBlock);
    group_blocks_ = std::max<int64_t>(1, pieces(blocks_, kGroups));
    groups_ = pieces(blocks_, group_blocks_);
  }

  // dlogits = slope(t) · (onehot - p); found(t, logprob) is called in the order of the rows.
  template <class Slope, class Found>
  void run(const Slope& slope, const Found& found) {
    if (dx_ && !accumulate_dx_) zero(dx_);
    if (dweight_ && !accumulate_dweight_ && count_ == 0) zero(dweight_);
    if (count_ == 0) return;
    take_memory();
    for (int64_t first = 0; first < count_ + most_; first += most_) {
      const Rows done = rows_at(first - most_), next = rows_at(first);
      pack_rows(done, next);
      exec_.parallel(groups_, [&](int64_t group, Worker& worker) {
        float* const scratch = worker.scratch<float>(scratch_);
        const int64_t begin = group * group_blocks_, end = std::min(begin + group_blocks_, blocks_);
        for (int64_t block = begin; block < end; block++) {
          const Tile tile{block * kBlock, std::min(kBlock, V_ - block * kBlock), 0, ld_};
          if (done.count > 0) take_gradients(done, block, tile, group, block > begin, scratch);
          if (next.count > 0) take_logits(next, block, tile, scratch);
        }
      });
      if (done.count > 0 && dx_) add_shares(done);
      if (next.count > 0) normalise(next, slope);
      for (int64_t i = 0; i < next.count; i++) found(next.row[i], logprob_[i]);
    }
  }

 private:
  struct Rows {
    const int32_t* row;
    int64_t count;
    bool first;
  };

  Rows rows_at(int64_t first) const {
    if (first < 0 || first >= count_) return {nullptr, 0, false};
    return {rows_.data() + first, std::min(most_, count_ - first), first == 0};
  }

  void take_memory() {
    const int64_t along = pieces(most_, kPanel) * kPanel * D_, across = pieces(D_, kPanel) * kPanel * most_;
    along_ = exec_.shared<float>(along + across + 2 * kLanes, kPanels);
    across_ = along_ + along + kLanes;
    logits_ = exec_.shared<float>(V_ * ld_, kLogits);
    shares_ = dx_ ? exec_.shared<float>(groups_ * most_ * D_, kShares) : nullptr;
    largest_ = exec_.shared<float>((2 * blocks_ + 3) * ld_, kColumns);
    total_ = largest_ + blocks_ * ld_;
    target_ = total_ + blocks_ * ld_;
    logprob_ = target_ + ld_;
    slope_ = logprob_ + ld_;
    scratch_ = std::max({tile_scratch(kBlock, ld_), tile_scratch(kBlock, D_), tile_scratch(most_, D_)});
  }

  // The rows that are done as the right side of dweight = dlogitsᵀ · x, the next ones as that of logitsᵀ = weight · xᵀ.
  void pack_rows(const Rows& done, const Rows& next) const {
    const int64_t depth = depth_of(D_), cols = pieces(next.count, kPanel) * kPanel;
    const int64_t steps = next.count > 0 ? pieces(D_, depth) : 0;
    const int64_t groups = dweight_ && done.count > 0 ? pieces(D_, kPackCols) : 0;
    exec_.parallel(steps + groups, [&](int64_t task, Worker&) {
      if (task < steps) {
        const int64_t k0 = task * depth;
        pack<kPanel>({x_.memory, x_.dtype, D_, true, next.row}, 0, next.count, k0, std::min(depth, D_ - k0), along_ + k0 * cols);
      } else {
        const int64_t d = (task - steps) * kPackCols;
        pack<kPanel>({x_.memory, x_.dtype, D_, false, done.row}, d, std::min(kPackCols, D_ - d), 0, done.count,
                     across_ + d * done.count);
      }
    });
  }

  // The logits of a block, then e^(logit - largest) of each column, its largest one and its sum.
  void take_logits(const Rows& rows, int64_t block, Tile tile, float* scratch) const {
    const Operand vocabulary{weight_.memory, weight_.dtype, D_, true}, right{x_.memory, x_.dtype, D_, true, rows.row};
    const Packed packed{along_, 0, pieces(rows.count, kPanel) * kPanel, depth_of(D_)};
    tile.cols = pieces(rows.count, kLanes) * kLanes;
    gemm_tile(vocabulary, right, packed, tile, D_, scratch, Store{logits_, DType::f32, ld_});
    float* const logits = logits_ + tile.row * ld_;
    for (int64_t i = 0; i < rows.count; i++) {
      const int64_t v = target_of(rows, i) - tile.row;
      if (v >= 0 && v < tile.rows) target_[i] = logits[v * ld_ + i];
    }
    for (int64_t i = 0; i < tile.cols; i += kLanes) {
      float* const column = logits + i;
      vf high = load(column), total = {};
      for (int64_t v = 1; v < tile.rows; v++) high = max(load(column + v * ld_), high);
      for (int64_t v = 0; v < tile.rows; v++) {
        const vf e = exp(load(column + v * ld_) - high);
        store(column + v * ld_, e);
        total += e;
      }
      store(largest_ + block * ld_ + i, high);
      store(total_ + block * ld_ + i, total);
    }
  }

  // Log-probabilities; and `largest` becomes what e^(logit - largest) must be multiplied with to be a dlogit.
  template <class Slope>
  void normalise(const Rows& rows, const Slope& slope) const {
    for (int64_t i = 0; i < ld_; i++) slope_[i] = i < rows.count ? slope(rows.row[i]) : 0;
    exec_.parallel_range(pieces(rows.count, kLanes) * kLanes, kLanes, [&](int64_t i, int64_t) {
      vf high = load(largest_ + i);
      for (int64_t block = 1; block < blocks_; block++) high = max(load(largest_ + block * ld_ + i), high);
      double total[kLanes] = {};
      for (int64_t block = 0; block < blocks_; block++) {
        float* const largest = largest_ + block * ld_ + i;
        const vf factor = exp(load(largest) - high), part = factor * load(total_ + block * ld_ + i);
        store(largest, factor);
        for (int c = 0; c < kLanes; c++) total[c] += part[c];
      }
      vf scale;
      for (int c = 0; c < kLanes; c++) {
        logprob_[i + c] = float(target_[i + c] - (high[c] + std::log(total[c])));
        scale[c] = float(-slope_[i + c] / total[c]);
      }
      for (int64_t block = 0; block < blocks_; block++) {
        float* const factor = largest_ + block * ld_ + i;
        store(factor, load(factor) * scale);
      }
    });
  }

  void take_gradients(const Rows& rows, int64_t block, Tile tile, int64_t group, bool add, float* scratch) const {
    float* const slopes = logits_ + tile.row * ld_;
    for (int64_t v = 0; v < tile.rows; v++) {
      float* const row = slopes + v * ld_;
      for (int64_t i = 0; i < rows.count; i += kLanes) {
        __builtin_prefetch(row + kBlock * ld_ + i, 1, 2);
        store(row + i, load(row + i) * load(largest_ + block * ld_ + i));
      }
    }
    for (int64_t i = 0; i < rows.count; i++) {
      const int64_t v = target_of(rows, i) - tile.row;
      if (v >= 0 && v < tile.rows) slopes[v * ld_ + i] += slope_[i];
    }
    if (dweight_) add_weight_gradient(rows, tile, scratch);
    if (dx_) {
      const Operand left{slopes, DType::f32, ld_, false}, right{weight_.memory, weight_.dtype, D_, false};
      gemm_tile(left, right.from(tile.row), Packed{}, Tile{0, rows.count, 0, D_}, tile.rows, scratch,
                Store{shares_ + group * most_ * D_, DType::f32, D_, 1, add});
    }
  }

  // Rows of dweight, one register block after the other, from dlogits where they lie. In turns the next rows of dweight are
  // fetched, and the block's rows of weight, which dx and the next logits take.
  void add_weight_gradient(const Rows& rows, const Tile& tile, float* scratch) const {
    const Store store{dweight_.memory, DType::f32, D_, 1, accumulate_dweight_ || !rows.first};
    const Multiply<Left::kRows, float, Store> multiply({tile.row, tile.rows, 0, D_}, 1, scratch, store);
    const int64_t size = bytes_of(weight_.dtype), turn = kBlockRows * 2 * kPanel;  // elements to fetch while a block runs
    Ahead weight(weight_.data<char>() + tile.row * D_ * size, turn * size, rows.count);
    for (int64_t block = 0; block < multiply.blocks(); block++) {
      const int64_t first = multiply.first_row(block);
      Ahead dweight(dweight_.data<float>() + (tile.row + first + kBlockRows) * D_, turn * int64_t(sizeof(float)), rows.count);
      for (int64_t d = 0; d < D_; d += kPanel) {
        const Soon soon = d / kPanel % 2 == 0 ? weight.next() : dweight.next();
        multiply.template block<Right::kPacked>(0, block, d, logits_ + (tile.row + first) * ld_, ld_,
                                                across_ + d * rows.count, kPanel, rows.count, soon);
      }
    }
  }

  void add_shares(const Rows& rows) const {
    with_float_type(dx_.dtype, [&](auto type) {
      using T = decltype(type);
      exec_.parallel_range(rows.count, 8, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
          T* const y = dx_.data<T>() + rows.row[i] * D_;
          sweep(D_, [&](int64_t d, auto... lanes) {
            vf total = {};
            for (int64_t group = 0; group < groups_; group++) total += load(shares_ + (group * most_ + i) * D_ + d, lanes...);
            if (accumulate_dx_) total += load(y + d, lanes...);
            store(y + d, total, lanes...);
          });
        }
      });
    });
  }

  int64_t target_of(const Rows& rows, int64_t i) const { return targets_.data<int32_t>()[rows.row[i]]; }

  Exec& exec_;
  In x_, weight_, targets_;
  Out dx_, dweight_;
  bool accumulate_dx_, accumulate_dweight_;
  int64_t V_, D_;
  std::vector<int32_t> rows_;
  int64_t count_, most_, ld_, blocks_, group_blocks_, groups_, scratch_ = 0;
  float *along_ = nullptr, *across_ = nullptr, *logits_ = nullptr, *shares_ = nullptr;
  float *largest_ = nullptr, *total_ = nullptr, *target_ = nullptr, *logprob_ = nullptr, *slope_ = nullptr;
};
}  // namespace

void linear_cross_entropy(Exec& exec, In x, In weight, In targets, Out logprob, Out entropy) {
  constexpr int64_t kRows = 1024, kBlockFloats = 1 << 20;
  const int64_t T = targets.size(), V = weight.dim[0], D = weight.cols();
  require(x.size() == T * D && logprob.size() == T, "operands do not fit each other");
  const std::vector<int32_t> rows = rows_with_target(targets, V);
  zero(logprob);
  if (entropy) zero(entropy);
  const int64_t count = int64_t(rows.size()), most = even_piece(count, kRows, 1);
  const Operand vocabulary{weight.memory, weight.dtype, D, true};
  for (int64_t first = 0; first < count; first += most) {
    const int32_t* const row = rows.data() + first;
    const int64_t n = std::min(most, count - first);
    const int64_t cols = even_piece(V, std::max<int64_t>(kBlockFloats / n / kPanel, 1) * kPanel, kPanel);
    float* const logits = exec.shared<float>(n * cols, kLogits);
    std::vector<Running> running(size_t(n), Running{});
    for (int64_t v = 0; v < V; v += cols) {
      const int64_t vs = std::min(cols, V - v);
      gemm(exec, Operand{x.memory, x.dtype, D, true, row}, vocabulary.from(v), n, vs, D,
           Store{logits, DType::f32, vs});
      exec.parallel_range(n, 16, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
          Running& r = running[size_t(i)];
          entropy ? r.add<true>(logits + i * vs, vs) : r.add<false>(logits + i * vs, vs);
          const int64_t target = targets.data<int32_t>()[row[i]] - v;
          if (target >= 0 && target < vs) r.target = logits[i * vs + target];
        }
      });
    }
    for (int64_t i = 0; i < n; i++) {
      const Running& r = running[size_t(i)];
      logprob.data<float>()[row[i]] = float(r.target - (r.largest + std::log(r.total)));
      if (entropy) entropy.data<float>()[row[i]] = float(r.entropy());
    }
  }
}

void linear_cross_entropy_grad(Exec& exec, In dlogprob, In x, In weight, In targets, Out dx, Out dweight, bool accumulate_dx,
                               bool accumulate_dweight) {
  require(x.size() == targets.size() * weight.cols() && dlogprob.size() == targets.size(), "operands do not fit each other");
  require(!dweight || dweight.dtype == DType::f32, "dweight is f32");
  RowChunks(exec, x, weight, targets, dx, dweight, accumulate_dx, accumulate_dweight)
      .run([&](int64_t t) { return dlogprob.data<float>()[t]; }, [](int64_t, float) {});
}

void linear_cross_entropy_loss(Exec& exec, In x, In weight, In targets, Out loss, Out logprob, Out dx, Out dweight,
                               float scale) {
  require(x.size() == targets.size() * weight.cols() && loss.size() == 1, "operands do not fit each other");
  require(!logprob || logprob.size() == targets.size(), "operands do not fit each other");
  require(!dweight || dweight.dtype == DType::f32, "dweight is f32");
  if (logprob) zero(logprob);
  double total = 0;
  const auto found = [&](int64_t t, float of_row) {
    total += of_row;
    if (logprob) logprob.data<float>()[t] = of_row;
  };
  RowChunks(exec, x, weight, targets, dx, dweight, false, false).run([&](int64_t) { return -scale; }, found);
  *loss.data<float>() = float(-scale * total);
}

}  // namespace mixwright::cpu::MW_ISA
