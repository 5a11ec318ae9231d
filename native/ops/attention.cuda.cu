// FlashAttention-2's forward pass (Dao 2023). A block owns a tile of lanes of one kv head (cuda/attention_tile.h) and up to 128
// columns of y; it walks the keys in tiles of 64. Bytes moved: q and y once, k and v once for every tile of lanes that looks at
// them, from L2 mostly. Where the tiles are too few to fill a device (decoding), a tile's keys are shared out to several
// blocks, and a second kernel puts their sums together (Dao et al. 2023, "Flash-Decoding").
#include "ops/attention.h"

#include <algorithm>

#include "cuda/attention_mma.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256, kKeys = 64;
constexpr int64_t kBlocks = 2 * 132;      // that a grid should have; not the device's own number: bits would depend on it
constexpr int64_t kKeysEach = 2 * kKeys;  // the least that a block should get of a tile's keys
constexpr float kLowest = -1e30f;  // where a running maximum starts; finite, so that masked - kLowest is still -infinity

struct Problem {
  Documents documents;
  Matrix q, k, v, y;
  float* lse;
  float *sums, *largest, *totals;  // of each part: y · total [T · heads][hd], maximum and total [T · heads]
  int heads, kv_heads, group;
  float scale;
  int window;
};

// What a block works on: lanes first … first + count - 1 of a document, and keys begin … end - 1 of it.
struct Work {
  Lanes queries, keys;
  int first, count, begin, end, past;  // past: keys before the document's first query

  __device__ bool find(const Problem& op, int lanes) {
    const int64_t tile = (gridDim.x - 1 - blockIdx.x) / op.kv_heads;  // from the back: late tiles see the most keys
    const int kv_head = int((gridDim.x - 1 - blockIdx.x) % op.kv_heads);
    Document document;
    if (!find_tile(op.documents, tile, op.group, lanes, document, first)) return false;
    count = min(lanes, document.count * op.group - first);
    past = document.keys - document.count;
    queries = {document.row, op.group, kv_head * op.group};
    keys = {document.key_row, 1, kv_head};
    const int low = first_key(past + first / op.group, op.window), high = past + (first + count - 1) / op.group + 1;
    const int64_t tiles = (high - low + kKeys - 1) / kKeys, part = blockIdx.y, parts = gridDim.y;
    begin = low + int(tiles * part / parts) * kKeys;
    end = min(high, low + int(tiles * (part + 1) / parts) * kKeys);
    return true;
  }
  __device__ int position(int lane) const { return past + (first + min(lane, count - 1)) / queries.group; }
  // Of a lane among all rows and heads.
  __device__ int64_t index(const Problem& op, int lane) const {
    return (queries.row + int64_t((first + lane) / queries.group)) * op.heads + queries.head + (first + lane) % queries.group;
  }
};

// Where a block's sums go: to y, or to its part's share of `sums`.
__device__ inline Matrix target(const Problem& op) {
  if (gridDim.y == 1) return op.y;
  return {op.sums + int64_t(blockIdx.y) * op.documents.rows * op.y.cols, true, op.y.width % 4 == 0, op.y.width, op.y.cols};
}

__device__ inline void store_result(const Problem& op, const Work& work, int lane, int column, const float (&four)[4],
                                    float total) {
  const int left = op.y.width - column;
  if (lane >= work.count || left <= 0) return;
  const Matrix to = target(op);
  const float factor = gridDim.y > 1 ? 1 : 1 / total;
  const float y[4] = {four[0] * factor, four[1] * factor, four[2] * factor, four[3] * factor};
  store_four(to, work.queries.at(to, work.first + lane) + column, left, y);
}

__device__ inline void store_total(const Problem& op, const Work& work, int lane, float largest, float total) {
  if (lane >= work.count) return;
  const int64_t row = work.index(op, lane);
  if (gridDim.y > 1) {
    op.largest[int64_t(blockIdx.y) * op.documents.rows * op.heads + row] = largest;
    op.totals[int64_t(blockIdx.y) * op.documents.rows * op.heads + row] = total;
  } else if (op.lse) {
    op.lse[row] = kLn2 * (largest + log2f(total));
  }
}

// 16 · kEach lanes. Threads stand 16 × 16; thread (y, x) has lanes kEach y …, keys x, x + 16, … and columns 4 x …, 64 + 4 x ….
// A head wider than kCols is walked in parts of kCols: every block computes all scores, and one part of y.
template <int kCols, int kEach>
__global__ __launch_bounds__(kThreads, 2) void attend(const Problem op) {
  constexpr int kLanes = 16 * kEach, kStride = kCols + 4, kP = kKeys + 4, kC = kCols / 64;
  MW_SHARED(float, q);
  float *const rows = q + kLanes * kStride, *const p = rows + kKeys * kStride;  // rows: of k, then of v
  if (blockIdx.x == 0 && blockIdx.y == 0 && blockIdx.z == 0) check_documents(op.documents);
  Work work;
  if (!work.find(op, kLanes)) return;
  const int x = threadIdx.x % 16, y = threadIdx.x / 16 * kEach, width = op.q.width;
  const int own = int(blockIdx.z) * kCols;  // columns of y
  float sum[kEach][kC][4] = {}, largest[kEach], total[kEach] = {};
  int position[kEach];
#pragma unroll
  for (int i = 0; i < kEach; i++) largest[i] = kLowest, position[i] = work.position(y + i);
  for (int base = work.begin; base < work.end; base += kKeys) {
    const int count = min(kKeys, work.end - base);
    float score[kEach][4] = {};
    for (int column = 0; column < width; column += kCols) {
      __syncthreads();
      if (width > kCols || base == work.begin) {
        load_tile<kLanes, kCols, kThreads>(op.q, work.queries, work.first, work.count, column, q);
      }
      load_tile<kKeys, kCols, kThreads>(op.k, work.keys, base, count, column, rows);
      __syncthreads();
      const int depth = min(kCols, (width - column + 3) / 4 * 4);
      add_dots<kEach, 4, kStride>(q + y * kStride, rows + x * kStride, depth, score);
    }
#pragma unroll
    for (int i = 0; i < kEach; i++) {
      float top = largest[i];
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const int key = base + x + 16 * j;
        score[i][j] = key <= position[i] && key > position[i] - op.window ? score[i][j] * op.scale : -INFINITY;
        top = fmaxf(top, score[i][j]);
      }
#pragma unroll
      for (int offset = 8; offset > 0; offset /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, offset));
      const float shrink = exp2f(largest[i] - top);
      largest[i] = top;
      total[i] *= shrink;
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const float weight = exp2f(score[i][j] - top);
        p[(y + i) * kP + x + 16 * j] = weight;
        total[i] += weight;
      }
#pragma unroll
      for (int c = 0; c < kC; c++) {
        for (int e = 0; e < 4; e++) sum[i][c][e] *= shrink;
      }
    }
    __syncthreads();
    load_tile<kKeys, kCols, kThreads>(op.v, work.keys, base, count, own, rows);
    __syncthreads();
    add_rows<kEach, kC, kP, kStride>(p + y * kP, rows + 4 * x, kKeys, sum);
  }
#pragma unroll
  for (int i = 0; i < kEach; i++) {
#pragma unroll
    for (int offset = 8; offset > 0; offset /= 2) total[i] += __shfl_xor_sync(0xffffffffu, total[i], offset);
    if (x == 0 && blockIdx.z == 0) store_total(op, work, y + i, largest[i], total[i]);
#pragma unroll
    for (int c = 0; c < kC; c++) store_result(op, work, y + i, own + 64 * c + 4 * x, sum[i][c], total[i]);
  }
}

// The same on the tensor cores. A warp has 16 · kTiles lanes, its scores and sums stay in registers; the next keys are on their
// way while these are in work.
template <int kCols, int kTiles>
__global__ __launch_bounds__(kMmaThreads, kTiles == 1 ? 3 : 2) void attend_mma(const Problem op) {
  constexpr int kLanes = 16 * kTiles * kMmaWarps, kStride = kCols + 8, kD = kCols / 8;
  constexpr int kStep = kTiles * kCols > 128 ? 32 : 64, kN = kStep / 8;  // keys at a time: what the registers hold
  MW_SHARED(bf16, q);
  bf16* const rows = q + kLanes * kStride;  // of k and v, twice
  if (blockIdx.x == 0 && blockIdx.y == 0) check_documents(op.documents);
  Work work;
  if (!work.find(op, kLanes)) return;
  const int lane = threadIdx.x % kWarp, own = int(threadIdx.x) / kWarp * 16 * kTiles, column = 2 * (lane % 4);
  const bool busy = own < work.count;
  const auto copy_keys = [&](int base, int stage) {
    const int count = min(kKeys, work.end - base);
    copy_tile<kKeys, kCols, false>(op.k, work.keys, base, count, rows + 2 * stage * kKeys * kStride);
    copy_tile<kKeys, kCols, false>(op.v, work.keys, base, count, rows + (2 * stage + 1) * kKeys * kStride);
  };
  float sum[kTiles][kD][4] = {}, largest[kTiles][2], total[kTiles][2] = {};
  for (int m = 0; m < kTiles; m++) largest[m][0] = largest[m][1] = kLowest;
  const int lowest = work.position(own), highest = work.position(own + 16 * kTiles - 1);
  if (work.begin < work.end) {
    copy_tile<kLanes, kCols, true>(op.q, work.queries, work.first, work.count, q);
    copy_keys(work.begin, 0);
  }
  copy_commit();
  for (int base = work.begin, stage = 0; base < work.end; base += kKeys, stage ^= 1) {
    if (base + kKeys < work.end) copy_keys(base + kKeys, stage ^ 1);
    copy_commit();
    copy_wait<1>();
    __syncthreads();
#pragma unroll 1
    for (int at = base; busy && at < min(base + kKeys, work.end); at += kStep) {
      const bf16* const k = rows + (2 * stage * kKeys + at - base) * kStride;
      float score[kTiles][kN][4] = {};
      multiply_rows<kCols>(q + own * kStride, k, score);
      const bool masked = at + kStep - 1 > lowest || at <= highest - op.window;
#pragma unroll
      for (int m = 0; m < kTiles; m++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
          float top = largest[m][h];
          int low = 0, high = kStep;  // of these keys, which the lane sees
          if (masked) {
            high = work.position(own + 16 * m + 8 * h + lane / 4) - at;
            low = high - op.window + 1;
          }
#pragma unroll
          for (int n = 0; n < kN; n++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
              float& x = score[m][n][2 * h + e];
              const int key = 8 * n + column + e;
              x = key < low || key > high ? -INFINITY : x * op.scale;
              top = fmaxf(top, x);
            }
          }
          top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
          top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
          const float shrink = exp2f(largest[m][h] - top);
          largest[m][h] = top;
          total[m][h] *= shrink;
#pragma unroll
          for (int n = 0; n < kN; n++) {
#pragma unroll
            for (int e = 0; e < 2; e++) total[m][h] += score[m][n][2 * h + e] = exp2f(score[m][n][2 * h + e] - top);
          }
#pragma unroll
          for (int n = 0; n < kD; n++) sum[m][n][2 * h] *= shrink, sum[m][n][2 * h + 1] *= shrink;
        }
      }
      add_product<kCols>(score, k + kKeys * kStride, sum);
    }
    __syncthreads();
  }
  if (!busy) return;
#pragma unroll
  for (int m = 0; m < kTiles; m++) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
      float all = total[m][h] + __shfl_xor_sync(0xffffffffu, total[m][h], 1);
      all += __shfl_xor_sync(0xffffffffu, all, 2);
      const int at = own + 16 * m + 8 * h + lane / 4;
      if (at >= work.count) continue;
      if (lane % 4 == 0) store_total(op, work, at, largest[m][h], all);
      const float factor = gridDim.y > 1 ? 1 : 1 / all;
      const Matrix to = target(op);
      const int64_t row = work.queries.at(to, work.first + at);
#pragma unroll
      for (int n = 0; n < kD; n++) {
        if (8 * n + column >= op.y.width) continue;
        store_pair(to, row + 8 * n + column, sum[m][n][2 * h] * factor, sum[m][n][2 * h + 1] * factor);
      }
    }
  }
}

// A warp puts together the parts of one row and head.
__global__ __launch_bounds__(kThreads, 4) void combine(const Problem op, int parts) {
  const int64_t rows = op.documents.rows * op.heads, row = (int64_t(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  if (row >= rows) return;
  float largest = kLowest, total = 0;
  for (int part = 0; part < parts; part++) largest = fmaxf(largest, op.largest[part * rows + row]);
  for (int part = 0; part < parts; part++) {
    total += op.totals[part * rows + row] * exp2f(op.largest[part * rows + row] - largest);
  }
  const int lane = threadIdx.x % kWarp;
  if (op.lse && lane == 0) op.lse[row] = kLn2 * (largest + log2f(total));
  for (int column = 4 * lane; column < op.y.width; column += 4 * kWarp) {
    const int left = op.y.width - column;
    float sum[4] = {};
    for (int part = 0; part < parts; part++) {
      const float weight = exp2f(op.largest[part * rows + row] - largest) / total;
      const float* from = op.sums + (part * rows + row) * op.y.width + column;
      for (int i = 0; i < 4 && i < left; i++) sum[i] = fmaf(weight, from[i], sum[i]);
    }
    store_four(op.y, row * op.y.width + column, left, sum);
  }
}

template <int kCols, int kEach>
void launch_attend(Exec& exec, const Problem& op, dim3 grid) {
  constexpr int64_t kFloats = (16 * kEach + kKeys) * (kCols + 4) + 16 * kEach * (kKeys + 4);
  launch(exec, attend<kCols, kEach>, grid, kThreads, kFloats * 4, op);
}

constexpr int64_t mma_bytes(int64_t lanes, int64_t cols) { return (lanes + 4 * kKeys) * (cols + 8) * 2; }

template <int kTiles>
void launch_mma(Exec& exec, const Problem& op, dim3 grid, int64_t cols) {
  constexpr int64_t kLanes = 16 * kTiles * kMmaWarps;
  auto* const kernel = cols == 64 ? attend_mma<64, kTiles> : cols == 96 ? attend_mma<96, kTiles> : attend_mma<128, kTiles>;
  launch(exec, kernel, grid, kMmaThreads, mma_bytes(kLanes, cols), op);
}
}  // namespace

void attention(Exec& exec, In q, In k, In v, In offsets, In starts, In lengths, Out y, Out lse, int64_t heads,
               int64_t kv_heads, float scale, int64_t window) {
  require(k.dtype == v.dtype, "k and v must have one number format");
  const int64_t hd = q.cols() / heads, group = heads / kv_heads, rows = q.rows();
  require(rows * group < int64_t(1) << 31, "more rows and heads than the kernel counts");
  Problem op{documents_of(exec, offsets, starts, lengths, rows, k.rows()), matrix_of(q, hd), matrix_of(k, hd), matrix_of(v, hd),
             matrix_of(y, hd), lse.data<float>(), nullptr, nullptr, nullptr, int(heads), int(kv_heads), int(group),
             scale * kLog2e, window > 0 ? int(std::min<int64_t>(window, kNoWindow)) : kNoWindow};
  const bool mma = takes_mma(op.q) && takes_mma(op.k) && takes_mma(op.v) && op.y.whole;
  const int64_t cols = hd <= 64 ? 64 : mma && hd <= 96 ? 96 : 128, chunks = std::max<int64_t>(1, pieces(hd, cols));
  const auto blocks_of = [&](int64_t lanes) { return std::max<int64_t>(1, most_tiles(op.documents, group, lanes)) * kv_heads; };
  int64_t lanes = !mma && rows * group <= 16 * op.documents.count ? 16 : 64;
  if (mma && blocks_of(128) >= kBlocks && rows * group > 64 * op.documents.count &&
      mma_bytes(128, cols) <= exec.properties().shared_bytes) {
    lanes = 128;
  }
  const int64_t blocks = blocks_of(lanes);
  const int64_t parts = std::clamp<int64_t>(kBlocks / (blocks * chunks), 1, std::max<int64_t>(1, pieces(k.rows(), kKeysEach)));
  if (parts > 1) {
    op.sums = exec.scratch<float>(parts * rows * heads * hd, 0);
    op.largest = exec.scratch<float>(parts * rows * heads, 1);
    op.totals = exec.scratch<float>(parts * rows * heads, 2);
  }
  const dim3 grid{unsigned(blocks), unsigned(parts), unsigned(chunks)};
  if (mma) {
    lanes == 128 ? launch_mma<2>(exec, op, grid, cols) : launch_mma<1>(exec, op, grid, cols);
  } else if (lanes == 16) {
    cols == 64 ? launch_attend<64, 1>(exec, op, grid) : launch_attend<128, 1>(exec, op, grid);
  } else {
    cols == 64 ? launch_attend<64, 4>(exec, op, grid) : launch_attend<128, 4>(exec, op, grid);
  }
  if (parts > 1) launch(exec, combine, dim3(unsigned(pieces(rows * heads, kThreads / kWarp))), kThreads, 0, op, int(parts));
}

}  // namespace mixwright::cuda
