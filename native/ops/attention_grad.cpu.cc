// Two passes, each of which recomputes P, so that no task writes where another does. dq: a task owns a block of about 64
// (query, head) lanes and walks its keys. dk, dv: a task owns 64 keys of one kv head and walks the queries that see them,
// head by head of the group. 7 products of T²·hd/2 instead of 5; bytes moved: own rows once, the other side once a block.
#include "ops/attention_grad.h"

#include "cpu/attention_tile.h"
#include "cpu/exec.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kDeltaRows = 16;

struct Operands {
  In dy, q, k, v, y, lse;
  Out dq, dk, dv, delta;
  int64_t heads, hd;
  float scale;
  int64_t window;
};

void delta_of(const Operands& op, int64_t row, Worker& worker) {
  const int64_t width = op.heads * op.hd;
  float *y = worker.scratch<float>(2 * width), *dy = y + width;
  pack_rows(op.y, row, 0, 1, width, 1, y);
  pack_rows(op.dy, row, 0, 1, width, 1, dy);
  for (int64_t head = 0; head < op.heads; head++) {
    const float *a = y + head * op.hd, *b = dy + head * op.hd;
    vf dot = {};
    sweep(
        op.hd, [&](int64_t i) { dot += load(a + i) * load(b + i); },
        [&](int64_t i, int64_t n) { dot += load(a + i, n) * load(b + i, n); });
    op.delta.data<float>()[row * op.heads + head] = sum(dot);
  }
}

// One half of a row of P and dS, in place of the score and of dy·v.
MW_INLINE void differentiate(float* score, float* slope, vf lse, vf delta) {
  const vf p = exp(load(score) - lse);
  store(score, p);
  store(slope, p * (load(slope) - delta));
}

struct QueryPanel {
  float *q, *dy, *dq;      // [hd][kWidth]
  float *lse, *delta;      // [kWidth]
  int32_t* position;

  QueryPanel(float* memory, int64_t hd)
      : q(memory), dy(q + hd * kWidth), dq(dy + hd * kWidth), lse(dq + hd * kWidth), delta(lse + kWidth),
        position(reinterpret_cast<int32_t*>(delta + kWidth)) {}
  static int64_t floats(int64_t hd) { return (3 * hd + 3) * kWidth; }
};

void query_block(const Operands& op, const Lanes& lanes, Worker& worker) {
  const int64_t hd = op.hd, each = QueryPanel::floats(hd), panels = lanes.panels(), count = lanes.count();
  float* memory = worker.scratch<float>(panels * each + 2 * kTile * hd + (2 * kTile + 1) * kWidth);
  float *k = memory + panels * each, *v = k + kTile * hd, *scores = v + kTile * hd, *slopes = scores + kTile * kWidth;
  float* factor = slopes + kTile * kWidth;
  pack_lanes(op.q, lanes, hd, op.scale, memory, each);
  pack_lanes(op.dy, lanes, hd, 1, memory + hd * kWidth, each);
  for (int64_t lane = 0; lane < panels * kWidth; lane++) {
    const QueryPanel panel(memory + lane / kWidth * each, hd);
    const int64_t i = lane % kWidth, real = lane < count ? lane : count - 1;
    const int64_t at = lanes.row(real) * op.heads + lanes.head(real);
    panel.lse[i] = lane < count ? op.lse.data<float>()[at] : 0;
    panel.delta[i] = lane < count ? op.delta.data<float>()[at] : 0;
    panel.position[i] = int32_t(lanes.position(real));
    if (i == 0) std::memset(panel.dq, 0, size_t(hd * kWidth) * sizeof(float));
  }
  const int64_t end = lanes.position(count - 1) + 1, oldest = lanes.position(0) - op.window + 1;
  for (int64_t base = oldest > 0 ? oldest : 0; base < end; base += kTile) {
    const int64_t tile = end - base < kTile ? end - base : kTile;
    pack_rows(op.k, lanes.block.key_row + base, lanes.kv_head * hd, tile, hd, 1, k);
    pack_rows(op.v, lanes.block.key_row + base, lanes.kv_head * hd, tile, hd, 1, v);
    for (int64_t p = 0; p < panels; p++) {
      const QueryPanel panel(memory + p * each, hd);
      const int64_t visible = panel.position[kWidth - 1] + 1 - base, rows = visible < tile ? visible : tile;
      if (rows <= 0) continue;
      multiply(k, hd, 1, rows, panel.q, hd, scores, false);
      mask(scores, rows, panel.position, base, base + op.window);
      multiply(v, hd, 1, rows, panel.dy, hd, slopes, false);
      for (int64_t half = 0; half < kWidth; half += kLanes) {
        const vf lse = load(panel.lse + half), delta = load(panel.delta + half);
        for (int64_t at = half; at < rows * kWidth; at += kWidth) differentiate(scores + at, slopes + at, lse, delta);
      }
      multiply(k, 1, hd, hd, slopes, rows, panel.dq, true);
    }
  }
  for (int64_t i = 0; i < kWidth; i++) factor[i] = op.scale;
  for (int64_t p = 0; p < panels; p++) scale_lanes(QueryPanel(memory + p * each, hd).dq, hd, factor);
  unpack_lanes(memory + 2 * hd * kWidth, each, lanes, hd, op.dq);
}

struct KeyPanel {
  float *k, *v, *dk, *dv;  // [hd][kWidth]
  int32_t* position;       // [kWidth]; past the document's end, where no query sees them, in empty lanes

  KeyPanel(float* memory, int64_t hd)
      : k(memory), v(k + hd * kWidth), dk(v + hd * kWidth), dv(dk + hd * kWidth),
        position(reinterpret_cast<int32_t*>(dv + hd * kWidth)) {}
  static int64_t floats(int64_t hd) { return (4 * hd + 1) * kWidth; }
};

void key_block(const Operands& op, const Lanes& lanes, int64_t group, Worker& worker) {
  const int64_t hd = op.hd, each = KeyPanel::floats(hd), panels = lanes.panels(), count = lanes.count();
  float* memory = worker.scratch<float>(panels * each + 2 * kTile * hd + 2 * kTile * kWidth);
  float *q = memory + panels * each, *dy = q + kTile * hd, *scores = dy + kTile * hd, *slopes = scores + kTile * kWidth;
  pack_lanes(op.k, lanes, hd, 1, memory, each);
  pack_lanes(op.v, lanes, hd, 1, memory + hd * kWidth, each);
  for (int64_t p = 0; p < panels; p++) {
    const KeyPanel panel(memory + p * each, hd);
    std::memset(panel.dk, 0, size_t(2 * hd * kWidth) * sizeof(float));
    for (int64_t i = 0; i < kWidth; i++) panel.position[i] = int32_t(lanes.position(p * kWidth + i));
  }
  const int64_t document = lanes.block.key_row, first = lanes.position(0), seen = lanes.position(count - 1) + op.window;
  const int64_t end = seen < lanes.block.keys ? seen : lanes.block.keys;
  for (int64_t head = lanes.kv_head * group; head < (lanes.kv_head + 1) * group; head++) {
    for (int64_t base = first; base < end; base += kTile) {
      const int64_t tile = end - base < kTile ? end - base : kTile;
      pack_rows(op.q, document + base, head * hd, tile, hd, op.scale, q);
      pack_rows(op.dy, document + base, head * hd, tile, hd, 1, dy);
      for (int64_t p = 0; p < panels; p++) {
        const KeyPanel panel(memory + p * each, hd);
        const int64_t skip = panel.position[0] > base ? panel.position[0] - base : 0;  // queries before the panel
        const int64_t rows = tile - skip, query = base + skip;
        if (rows <= 0) continue;
        const float *q_rows = q + skip * hd, *dy_rows = dy + skip * hd;
        multiply(q_rows, hd, 1, rows, panel.k, hd, scores, false);
        mask(scores, rows, panel.position, query - op.window + 1, query + 1);
        multiply(dy_rows, hd, 1, rows, panel.v, hd, slopes, false);
        for (int64_t j = 0; j < rows; j++) {
          const int64_t at = (document + query + j) * op.heads + head;
          const vf lse = splat(op.lse.data<float>()[at]), delta = splat(op.delta.data<float>()[at]);
          for (int64_t half = 0; half < kWidth; half += kLanes) {
            differentiate(scores + j * kWidth + half, slopes + j * kWidth + half, lse, delta);
          }
        }
        multiply(dy_rows, 1, hd, hd, scores, rows, panel.dv, true);
        multiply(q_rows, 1, hd, hd, slopes, rows, panel.dk, true);
      }
    }
  }
  unpack_lanes(memory + 2 * hd * kWidth, each, lanes, hd, op.dk);
  unpack_lanes(memory + 3 * hd * kWidth, each, lanes, hd, op.dv);
}
}  // namespace

void attention_grad(Exec& exec, In dy, In q, In k, In v, In y, In lse, In offsets, Out dq, Out dk, Out dv, Out delta,
                    int64_t heads, int64_t kv_heads, float scale, int64_t window) {
  const int64_t T = q.rows(), hd = q.cols() / heads, group = heads / kv_heads, reach = window > 0 ? window : kNoWindow;
  const Operands op{dy, q, k, v, y, lse, dq, dk, dv, delta, heads, hd, scale, reach};
  exec.parallel((T + kDeltaRows - 1) / kDeltaRows, [&](int64_t task, Worker& worker) {
    for (int64_t row = task * kDeltaRows; row < T && row < (task + 1) * kDeltaRows; row++) delta_of(op, row, worker);
  });
  if (dq) {
    const auto blocks = blocks_of(offsets, {}, {}, T, T, group < kBlockLanes ? kBlockLanes / group : 1);
    const int64_t count = int64_t(blocks.size());
    exec.parallel(count * kv_heads, [&](int64_t task, Worker& worker) {  // from the back: late queries see the most keys
      query_block(op, {blocks[size_t(count - 1 - task / kv_heads)], group, task % kv_heads}, worker);
    });
  }
  if (dk) {
    const auto blocks = blocks_of(offsets, {}, {}, T, T, kBlockLanes);
    exec.parallel(int64_t(blocks.size()) * kv_heads, [&](int64_t task, Worker& worker) {
      key_block(op, {blocks[size_t(task / kv_heads)], 1, task % kv_heads}, group, worker);
    });
  }
}

}  // namespace mixwright::cpu::MW_ISA
