// FlashAttention-2's backward pass (Dao 2023), without its atomics: one kernel's blocks own a tile of lanes (see
// cuda/attention_tile.h) and sum dq over the keys, another's own a tile of keys and sum dk and dv over the lanes. P and dS are
// computed twice for that: 7 products of T²·hd/2 instead of 5, and every sum has its fixed order. Bytes moved: the owned side
// once, the other side once for every tile that looks at it, from L2 mostly.
#include "ops/attention_grad.h"

#include <algorithm>

#include "cuda/attention_mma.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256, kOwn = 64, kOther = 32;

struct Problem {
  Documents documents;
  Matrix dy, q, k, v, y, dq, dk, dv;
  const float* lse;
  float* delta;
  int heads, kv_heads, group;
  float scale;
  int window;
};

// A warp for each row and head.
__global__ __launch_bounds__(kThreads) void row_sums(const Problem op) {
  if (blockIdx.x == 0) check_documents(op.documents);
  const int64_t row = (int64_t(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  if (row >= op.documents.rows * op.heads) return;
  float sum = 0;
  for (int column = threadIdx.x % kWarp * 4; column < op.y.width; column += 4 * kWarp) {
    const int64_t at = row * op.y.width + column;
    const int left = op.y.width - column;
    sum = dot(load_four(op.y, at, left), load_four(op.dy, at, left), sum);
  }
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) op.delta[row] = sum;
}

// What a block works on: a tile of its own side, lanes (or keys) first … first + count - 1, and begin … end - 1 of the other.
struct Work {
  Lanes queries, keys;
  int first, count, begin, end;

  template <bool kKeys>
  __device__ bool find(const Problem& op) {
    // The tiles that see the most of the other side come first: the last queries, the first keys.
    const unsigned block = kKeys ? blockIdx.x : gridDim.x - 1 - blockIdx.x;
    const int group = kKeys ? 1 : op.group, kv_head = int(block % op.kv_heads);
    Document document;
    if (!find_tile(op.documents, block / op.kv_heads, group, kOwn, document, first)) return false;
    count = min(kOwn, document.count * group - first);
    queries = {document.row, op.group, kv_head * op.group};
    keys = {document.row, 1, kv_head};
    const int last = first + count - 1;
    if (kKeys) {
      begin = first * op.group;
      end = int(min(int64_t(document.count), int64_t(last) + op.window)) * op.group;
    } else {
      begin = first_key(first / op.group, op.window);
      end = last / op.group + 1;
    }
    return true;
  }
};

// What a lane's scores need: its position, or -1 where there is no such lane, lse and delta.
struct Lane {
  int position;
  float lse, delta;

  __device__ void find(const Problem& op, const Lanes& queries, int lane, int end) {
    position = -1, lse = 0, delta = 0;
    if (lane >= end) return;
    position = lane / queries.group;
    const int64_t at = (queries.row + int64_t(position)) * op.heads + queries.head + lane % queries.group;
    lse = op.lse[at], delta = op.delta[at];
  }
  // A score becomes P, a slope (which is dy·v) dS.
  __device__ void differentiate(const Problem& op, int key, float& score, float& slope) const {
    const bool seen = key <= position && key > position - op.window;
    score = seen ? exp2f((score * op.scale - lse) * kLog2e) : 0;
    slope = seen ? score * (slope - delta) : 0;
  }
};

// kKeys: own rows are keys, the others lanes, first and second are dk and dv; else the other way round, and first is dq.
// Threads stand 16 × 16: thread (y, x) has own rows 4 y …, other rows x, x + 16 and columns 4 x …, 64 + 4 x …. A head wider
// than kCols is walked in parts of kCols: every block computes whole scores, and one part of the gradients.
template <int kCols, bool kKeys>
__global__ __launch_bounds__(kThreads, 2) void differentiate(const Problem op) {
  constexpr int kStride = kCols + 4, kP = kOther + 4, kC = kCols / 64;
  MW_SHARED(float, own_a);  // q or k
  float *const own_b = own_a + kOwn * kStride, *const other_a = own_b + kOwn * kStride;  // dy or v; k or q
  float *const other_b = other_a + kOther * kStride, *const p = other_b + kOther * kStride;
  Work work;
  if (!work.find<kKeys>(op)) return;
  const int x = threadIdx.x % 16, y = threadIdx.x / 16 * 4, width = op.q.width, part = int(blockIdx.y) * kCols;
  const Lanes &own = kKeys ? work.keys : work.queries, &other = kKeys ? work.queries : work.keys;
  const auto load_others = [&](int base, int column) {
    const int count = min(kOther, work.end - base);
    load_tile<kOther, kCols, kThreads>(kKeys ? op.q : op.k, other, base, count, column, other_a);
    load_tile<kOther, kCols, kThreads>(kKeys ? op.dy : op.v, other, base, count, column, other_b);
  };
  Lane lanes[kKeys ? 2 : 4];
  if (!kKeys) {
    for (int i = 0; i < 4; i++) lanes[i].find(op, work.queries, work.first + y + i, work.first + work.count);
  }
  float first[4][kC][4] = {}, second[4][kC][4] = {};
  for (int base = work.begin; base < work.end; base += kOther) {
    float score[4][2] = {}, slope[4][2] = {};
    for (int column = 0; column < width; column += kCols) {
      __syncthreads();
      if (width > kCols || base == work.begin) {
        load_tile<kOwn, kCols, kThreads>(kKeys ? op.k : op.q, own, work.first, work.count, column, own_a);
        load_tile<kOwn, kCols, kThreads>(kKeys ? op.v : op.dy, own, work.first, work.count, column, own_b);
      }
      load_others(base, column);
      __syncthreads();
      const int depth = min(kCols, (width - column + 3) / 4 * 4);
      add_dots<4, 2, kStride>(own_a + y * kStride, other_a + x * kStride, depth, score);
      add_dots<4, 2, kStride>(own_b + y * kStride, other_b + x * kStride, depth, slope);
    }
#pragma unroll
    for (int j = 0; j < 2; j++) {
      if (kKeys) lanes[j].find(op, work.queries, base + x + 16 * j, work.end);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        lanes[kKeys ? j : i].differentiate(op, kKeys ? work.first + y + i : base + x + 16 * j, score[i][j], slope[i][j]);
        p[(y + i) * kP + x + 16 * j] = slope[i][j];
      }
    }
    if (width > kCols) {
      __syncthreads();
      load_others(base, part);
      __syncthreads();
    }
    __syncwarp();  // rows of p stay within half a warp
    add_rows<4, kC, kP, kStride>(p + y * kP, other_a + 4 * x, kOther, first);
    if (kKeys) {
      __syncwarp();
#pragma unroll
      for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 2; j++) p[(y + i) * kP + x + 16 * j] = score[i][j];
      }
      __syncwarp();
      add_rows<4, kC, kP, kStride>(p + y * kP, other_b + 4 * x, kOther, second);
    }
    __syncwarp();
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (y + i >= work.count) continue;
#pragma unroll
    for (int c = 0; c < kC; c++) {
      const int column = part + 64 * c + 4 * x, left = width - column;
      if (left <= 0) continue;
      const Matrix& to = kKeys ? op.dk : op.dq;
      const int64_t at = own.at(to, work.first + y + i) + column;
      for (int e = 0; e < 4; e++) first[i][c][e] *= op.scale;
      store_four(to, at, left, first[i][c]);
      if (kKeys) store_four(op.dv, at, left, second[i][c]);
    }
  }
}

// The same on the tensor cores: a warp has 16 own rows, P, dS and the gradients stay in registers; the next rows of the other
// side are on their way while these are in work.
template <int kCols, bool kKeys>
__global__ __launch_bounds__(kMmaThreads, kKeys && kCols > 64 ? 2 : 3) void differentiate_mma(const Problem op) {
  constexpr int kStride = kCols + 8, kN = kOther / 8, kD = kCols / 8, kStage = 2 * kOther * kStride;
  __shared__ Lane infos[2][kOther];
  MW_SHARED(bf16, own_a);
  bf16 *const own_b = own_a + kOwn * kStride, *const others = own_b + kOwn * kStride;
  Work work;
  if (!work.find<kKeys>(op)) return;
  const int thread = threadIdx.x, y = thread / kWarp * 16, row = thread % kWarp / 4, column = thread % 4 * 2;
  const Lanes &own = kKeys ? work.keys : work.queries, &other = kKeys ? work.queries : work.keys;
  const auto copy_others = [&](int base, bf16* to) {
    const int count = min(kOther, work.end - base);
    copy_tile<kOther, kCols, kKeys>(kKeys ? op.q : op.k, other, base, count, to);
    copy_tile<kOther, kCols, kKeys>(kKeys ? op.dy : op.v, other, base, count, to + kOther * kStride);
  };
  copy_tile<kOwn, kCols, !kKeys>(kKeys ? op.k : op.q, own, work.first, work.count, own_a);
  copy_tile<kOwn, kCols, !kKeys>(kKeys ? op.v : op.dy, own, work.first, work.count, own_b);
  copy_others(work.begin, others);
  copy_commit();
  Lane lanes[2];
  if (kKeys) {
    if (thread < kOther) infos[0][thread].find(op, other, work.begin + thread, work.end);
  } else {
    for (int h = 0; h < 2; h++) lanes[h].find(op, own, work.first + y + 8 * h + row, work.first + work.count);
  }
  float first[1][kD][4] = {}, second[1][kD][4] = {};
  for (int base = work.begin, stage = 0; base < work.end; base += kOther, stage ^= 1) {
    Lane next;
    if (base + kOther < work.end) {
      copy_others(base + kOther, others + (stage ^ 1) * kStage);
      if (kKeys && thread < kOther) next.find(op, other, base + kOther + thread, work.end);
    }
    copy_commit();
    copy_wait<1>();
    __syncthreads();
    const bf16 *const other_a = others + stage * kStage, *const other_b = other_a + kOther * kStride;
    float score[1][kN][4] = {}, slope[1][kN][4] = {};
    multiply_rows<kCols>(own_a + y * kStride, other_a, score);
    multiply_rows<kCols>(own_b + y * kStride, other_b, slope);
#pragma unroll
    for (int n = 0; n < kN; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int at = 8 * n + column + i % 2;
        const Lane& lane = kKeys ? infos[stage][at] : lanes[i / 2];
        lane.differentiate(op, kKeys ? work.first + y + 8 * (i / 2) + row : base + at, score[0][n][i], slope[0][n][i]);
      }
    }
    add_product<kCols>(slope, other_a, first);
    if (kKeys) add_product<kCols>(score, other_b, second);
    if (kKeys && thread < kOther) infos[stage ^ 1][thread] = next;
    __syncthreads();
  }
  const Matrix& to = kKeys ? op.dk : op.dq;
#pragma unroll
  for (int h = 0; h < 2; h++) {
    if (y + 8 * h + row >= work.count) continue;
    const int64_t at = own.at(to, work.first + y + 8 * h + row);
#pragma unroll
    for (int n = 0; n < kD; n++) {
      const int c = 8 * n + column;
      if (c >= to.width) continue;
      store_pair(to, at + c, first[0][n][2 * h] * op.scale, first[0][n][2 * h + 1] * op.scale);
      if (kKeys) store_pair(op.dv, at + c, second[0][n][2 * h], second[0][n][2 * h + 1]);
    }
  }
}

template <bool kKeys>
void launch_differentiate(Exec& exec, const Problem& op, bool mma) {
  const int64_t width = op.q.width, tiles = most_tiles(op.documents, kKeys ? 1 : op.group, kOwn) * op.kv_heads;
  if (mma) {
    const int64_t cols = width <= 64 ? 64 : width <= 96 ? 96 : 128, bytes = 2 * (kOwn + 2 * kOther) * (cols + 8) * 2;
    auto* const kernel = cols == 64   ? differentiate_mma<64, kKeys>
                         : cols == 96 ? differentiate_mma<96, kKeys>
                                      : differentiate_mma<128, kKeys>;
    return launch(exec, kernel, dim3(unsigned(tiles)), kMmaThreads, bytes, op);
  }
  const auto bytes = [](int64_t cols) { return (2 * (kOwn + kOther) * (cols + 4) + kOwn * (kOther + 4)) * 4; };
  const int64_t cols = width <= 64 || bytes(128) > exec.properties().shared_bytes ? 64 : 128;
  auto* const kernel = cols == 64 ? differentiate<64, kKeys> : differentiate<128, kKeys>;
  launch(exec, kernel, dim3(unsigned(tiles), unsigned(pieces(width, cols))), kThreads, bytes(cols), op);
}
}  // namespace

void attention_grad(Exec& exec, In dy, In q, In k, In v, In y, In lse, In offsets, Out dq, Out dk, Out dv, Out delta,
                    int64_t heads, int64_t kv_heads, float scale, int64_t window) {
  const int64_t hd = q.cols() / heads, group = heads / kv_heads, rows = q.rows();
  require(rows * group < int64_t(1) << 31, "more rows and heads than the kernel counts");
  const Problem op{documents_of(exec, offsets, {}, {}, rows, rows), matrix_of(dy, hd), matrix_of(q, hd), matrix_of(k, hd),
                   matrix_of(v, hd), matrix_of(y, hd), matrix_of(dq, hd), matrix_of(dk, hd), matrix_of(dv, hd),
                   lse.data<float>(), delta.data<float>(), int(heads), int(kv_heads), int(group), scale,
                   window > 0 ? int(std::min<int64_t>(window, kNoWindow)) : kNoWindow};
  const int64_t blocks = std::max<int64_t>(1, pieces(rows * heads, kThreads / kWarp));
  launch(exec, row_sums, dim3(unsigned(blocks)), kThreads, 0, op);
  const bool mma = takes_mma(op.q) && takes_mma(op.k) && takes_mma(op.v) && takes_mma(op.dy);
  if (dq) launch_differentiate<false>(exec, op, mma && op.dq.whole);
  if (dk) launch_differentiate<true>(exec, op, mma && op.dk.whole && op.dv.whole);
}

}  // namespace mixwright::cuda
