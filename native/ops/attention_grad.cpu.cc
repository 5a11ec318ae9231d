// P and dS are computed once, and all three gradients from them: 5 products of T²·hd/2. Every document is cut into slices of
// up to 512 rows. A task is one (queries' slice, keys' slice) pair of one kv head; it adds to dq of the one and to dk and dv of the
// other. Pairs that lie equally far apart share no slice and run together: wave 0 is the diagonal and sets the gradients, wave w
// adds what keys w slices back have to do with the queries. The order of every sum follows from the offsets, and no partial
// sums are kept. Bytes moved: q, dy, k, v and the gradients once for every slice of the other side.
#include "ops/attention_grad.h"

#include <algorithm>
#include <utility>

#include "cpu/attention_tile.h"
#include "cpu/exec.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kDeltaRows = 16;
constexpr int64_t kMostSlice = 8 * kTile, kLeastSlice = 2 * kTile;
constexpr int64_t kSliceFloats = 1 << 15;         // of k; as many again of v, dk and dv, and all of them should stay in L2
constexpr int64_t kLeastTasks = 32;
constexpr int64_t kTaskLanes = 64;                // of the queries in work at a time
constexpr int64_t kSumFloats = int64_t(1) << 24;  // the most that sums of bf16 gradients take beside them

// Rows of one kv head's share in a gradient, in f32.
struct Sums {
  float* memory;
  int64_t stride;
};

struct Operands {
  In dy, q, k, v, y, lse;
  Out dq, dk, dv, delta;
  int64_t heads, hd, group;
  float scale;
  int64_t window, slice;
};

void delta_of(const Operands& op, int64_t row, Worker& worker) {
  const int64_t width = op.heads * op.hd;
  float *y = worker.scratch<float>(2 * (width + kLanes)), *dy = y + width + kLanes;
  pack_rows(Rows::of(op.y, row, 0), 1, width, 1, y, 0);
  pack_rows(Rows::of(op.dy, row, 0), 1, width, 1, dy, 0);
  for (int64_t head = 0; head < op.heads; head++) {
    const float *a = y + head * op.hd, *b = dy + head * op.hd;
    vf dot = {};
    sweep(
        op.hd, [&](int64_t i) { dot += load(a + i) * load(b + i); },
        [&](int64_t i, int64_t n) { dot += load(a + i, n) * load(b + i, n); });
    op.delta.data<float>()[row * op.heads + head] = sum(dot);
  }
}

// The queries in work: their lanes as panels and as rows, and P and dS against one tile of keys.
struct Queries {
  int64_t lanes, panel, stride;               // lanes rounded up; floats of a panel; floats from row to row
  float *q, *dy, *dq;                        // panels [hd][kWidth]
  float *q_rows, *dy_rows;                   // [lanes][stride]
  float *lse, *delta, *scores, *slopes;      // [lanes], [lanes], [kTile][lanes], [kTile][lanes]
  int32_t* position;                         // [lanes]

  Queries(float* memory, int64_t lanes, int64_t hd, int64_t stride) : lanes(lanes), panel(hd * kWidth), stride(stride) {
    const auto take = [&](int64_t floats) { return std::exchange(memory, memory + floats); };
    q = take(lanes * hd), dy = take(lanes * hd), dq = take(lanes * hd);
    q_rows = take(lanes * stride), dy_rows = take(lanes * stride);
    scores = take(kTile * lanes), slopes = take(kTile * lanes);
    lse = take(lanes), delta = take(lanes), position = reinterpret_cast<int32_t*>(take(lanes));
  }
  static int64_t floats(int64_t lanes, int64_t hd, int64_t stride) { return lanes * (3 * hd + 2 * stride + 2 * kTile + 3); }
};

void pack_queries(const Operands& op, const Lanes& lanes, const Queries& to) {
  const int64_t hd = op.hd, count = lanes.count();
  pack_lanes(op.q, lanes, hd, op.scale * kLog2e, to.q, to.panel, to.q_rows, to.stride);
  pack_lanes(op.dy, lanes, hd, 1, to.dy, to.panel, to.dy_rows, to.stride);
  std::memset(to.dq, 0, size_t(lanes.panels() * to.panel) * sizeof(float));
  for (int64_t lane = 0; lane < lanes.panels() * kWidth; lane++) {
    const int64_t real = lane < count ? lane : count - 1, row = lanes.row(real), head = lanes.head(real);
    to.lse[lane] = op.lse.data<float>()[row * op.heads + head] * kLog2e;
    to.delta[lane] = op.delta.data<float>()[row * op.heads + head];
    to.position[lane] = int32_t(lanes.position(real));
  }
}

// scores become P = 2^(score - lse), slopes (which are dy·v) become dS = P · (slope - delta).
MW_INLINE void differentiate(float* score, float* slope, vf lse, vf delta) {
  const vf p = exp2(load(score) - lse);
  store(score, p);
  store(slope, p * (load(slope) - delta));
}

// P, dS and dq of the lanes against `tile` keys from position `base` on; then dk and dv of these.
void tile_pair(const Operands& op, const Queries& x, const Lanes& lanes, int64_t base, int64_t tile, const float* k,
               const float* v, float* dk, float* dv) {
  const int64_t hd = op.hd, cols = whole_vectors(hd), stride = x.stride, panels = lanes.panels();
  const auto rows_of = [&](int64_t p) {  // whole blocks, so that whoever reads a block of P finds zeros and not rubbish
    const int64_t visible = x.position[p * kWidth + kWidth - 1] + 1 - base;
    return std::clamp<int64_t>(pieces(visible, kRowBlock) * kRowBlock, 0, tile);
  };
  for (int64_t p = 0; p < panels; p++) {
    const int64_t rows = rows_of(p), lane = p * kWidth;
    if (rows == 0) continue;
    float *scores = x.scores + lane, *slopes = x.slopes + lane;
    multiply(rows, kWidth, {k, stride, 1}, {x.q + p * x.panel, kWidth}, hd, {scores, x.lanes});
    mask(scores, x.lanes, rows, x.position + lane, base, base + op.window);
    multiply(rows, kWidth, {v, stride, 1}, {x.dy + p * x.panel, kWidth}, hd, {slopes, x.lanes});
    for (int64_t half = 0; half < kWidth; half += kLanes) {
      const vf lse = load(x.lse + lane + half), delta = load(x.delta + lane + half);
      for (int64_t j = 0; j < rows; j++) differentiate(scores + j * x.lanes + half, slopes + j * x.lanes + half, lse, delta);
    }
    if (op.dq) multiply(hd, kWidth, {k, 1, stride}, {slopes, x.lanes}, rows, {x.dq + p * x.panel, kWidth, true});
  }
  if (!op.dk) return;
  int64_t first = 0;  // panel that sees the rows
  for (int64_t j = 0, rows; j < tile; j += rows) {
    while (first < panels && rows_of(first) <= j) first++;
    if (first == panels) break;
    rows = rows_of(first) - j;
    const int64_t lane = first * kWidth, depth = lanes.count() - lane, at = j * x.lanes + lane;
    multiply(rows, cols, {x.scores + at, x.lanes, 1}, {x.dy_rows + lane * stride, stride}, depth, {dv + j * stride, stride, true});
    multiply(rows, cols, {x.slopes + at, x.lanes, 1}, {x.q_rows + lane * stride, stride}, depth, {dk + j * stride, stride, true});
  }
}

void add_row(const float* from, float factor, int64_t width, float* to, bool add) {
  sweep(width, [&](int64_t i, auto... n) {
    const vf x = load(from + i, n...) * factor;
    store(to + i, add ? load(to + i, n...) + x : x, n...);
  });
}

struct Pair {
  Block queries, keys;
  int64_t kv_head;
  bool add;
};

void slice_pair(const Operands& op, const Pair& pair, Sums dq, Sums dk, Sums dv, Worker& worker) {
  const int64_t hd = op.hd, stride = stride_of(hd), group = op.group, per_block = group < kTaskLanes ? kTaskLanes / group : 1;
  const int64_t most = pieces(per_block * group, kWidth) * kWidth, keys = pair.keys.count;
  float* memory = worker.scratch<float>(Queries::floats(most, hd, stride) + 4 * op.slice * stride);
  const Queries queries(memory, most, hd, stride);
  float* const k = memory + Queries::floats(most, hd, stride);
  float *const v = k + op.slice * stride, *const dk_rows = v + op.slice * stride, *const dv_rows = dk_rows + op.slice * stride;
  std::memset(dk_rows, 0, size_t(2 * op.slice * stride) * sizeof(float));
  pack_rows(Rows::of(op.k, pair.keys.row, pair.kv_head * hd), keys, hd, 1, k, stride);
  pack_rows(Rows::of(op.v, pair.keys.row, pair.kv_head * hd), keys, hd, 1, v, stride);
  for (int64_t at = 0; at < pair.queries.count; at += per_block) {
    Block block = pair.queries;
    block.row += at, block.position += at, block.count = std::min(per_block, block.count - at);
    const Lanes lanes{block, group, pair.kv_head};
    pack_queries(op, lanes, queries);
    const int64_t end = std::min(keys, block.position + block.count - pair.keys.position);
    for (int64_t j = 0; j < end; j += kTile) {
      const int64_t base = pair.keys.position + j, offset = j * stride;
      if (base + kTile <= block.position - op.window + 1) continue;
      tile_pair(op, queries, lanes, base, std::min(kTile, end - j), k + offset, v + offset, dk_rows + offset, dv_rows + offset);
    }
    if (!op.dq) continue;
    unpack_lanes(
        queries.dq, queries.panel, {block, group, 0}, hd, [&](int64_t) { return splat(op.scale); }, dq.memory, dq.stride, pair.add);
  }
  for (int64_t j = 0; op.dk && j < keys; j++) {
    add_row(dk_rows + j * stride, op.scale, hd, dk.memory + (pair.keys.row + j) * dk.stride, pair.add);
    add_row(dv_rows + j * stride, 1, hd, dv.memory + (pair.keys.row + j) * dv.stride, pair.add);
  }
}

int64_t slice_rows(int64_t T, int64_t kv_heads, int64_t width) {
  int64_t rows = kMostSlice;
  while (rows > kLeastSlice && (rows * width > kSliceFloats || T * kv_heads < kLeastTasks * rows)) rows /= 2;
  return rows;
}
}  // namespace

void attention_grad(Exec& exec, In dy, In q, In k, In v, In y, In lse, In offsets, Out dq, Out dk, Out dv, Out delta,
                    int64_t heads, int64_t kv_heads, float scale, int64_t window) {
  const int64_t T = q.rows(), hd = q.cols() / heads, group = heads / kv_heads, reach = window > 0 ? window : kNoWindow;
  const int64_t slice = slice_rows(T, kv_heads, hd);
  const Operands op{dy, q, k, v, y, lse, dq, dk, dv, delta, heads, hd, group, scale, reach, slice};
  exec.parallel((T + kDeltaRows - 1) / kDeltaRows, [&](int64_t task, Worker& worker) {
    for (int64_t row = task * kDeltaRows; row < T && row < (task + 1) * kDeltaRows; row++) delta_of(op, row, worker);
  });
  const auto slices = blocks_of(offsets, {}, {}, T, T, slice);
  // bf16 gradients are summed in f32 beside them, some kv heads at a time.
  const bool beside = (dq && dq.dtype != DType::f32) || (dk && dk.dtype != DType::f32) || (dv && dv.dtype != DType::f32);
  const int64_t head_floats = T * (group + 2) * hd;
  const int64_t heads_at_once = beside && head_floats > 0 ? std::clamp<int64_t>(kSumFloats / head_floats, 1, kv_heads) : kv_heads;
  float* const memory = beside ? exec.shared<float>(heads_at_once * head_floats) : nullptr;
  for (int64_t first = 0; first < kv_heads && !slices.empty(); first += heads_at_once) {
    const int64_t now = std::min(heads_at_once, kv_heads - first);
    const auto sums = [&](const Out& out, int64_t share, int64_t before, int64_t kv_head) -> Sums {
      if (!beside) return {out ? out.data<float>() + kv_head * share * hd : nullptr, out ? out.cols() : 0};
      return {memory + T * hd * now * before + (kv_head - first) * share * hd, now * share * hd};
    };
    std::vector<Pair> pairs;
    for (int64_t wave = 0; wave == 0 || (wave - 1) * slice + 1 < reach; wave++) {
      pairs.clear();
      for (size_t i = 0; i < slices.size(); i++) {
        if (slices[i].position < wave * slice) continue;
        for (int64_t kv = first; kv < first + now; kv++) pairs.push_back({slices[i], slices[i - size_t(wave)], kv, wave > 0});
      }
      if (pairs.empty()) break;
      exec.parallel(int64_t(pairs.size()), [&](int64_t task, Worker& worker) {
        const Pair& pair = pairs[size_t(task)];
        const int64_t kv = pair.kv_head;
        slice_pair(op, pair, sums(dq, group, 0, kv), sums(dk, 1, group, kv), sums(dv, 1, group + 1, kv), worker);
      });
    }
    if (!beside) break;
    const auto round = [&](const Out& out, int64_t share, int64_t before) {
      if (!out) return;
      exec.parallel_range(T, slice, [&](int64_t begin, int64_t end) {
        const Sums from = sums(out, share, before, first);
        with_float_type(out.dtype, [&](auto type) {
          for (int64_t row = begin; row < end; row++) {
            auto* to = out.data<decltype(type)>() + row * out.cols() + first * share * hd;
            const float* x = from.memory + row * from.stride;
            sweep(from.stride, [&](int64_t i, auto... n) { store(to + i, load(x + i, n...), n...); });
          }
        });
      });
    };
    round(dq, group, 0);
    round(dk, 1, group);
    round(dv, 1, group + 1);
  }
}

}  // namespace mixwright::cpu::MW_ISA
