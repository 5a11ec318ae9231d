// A task owns a block of 64 to 256 (query, head) lanes: queries of one document, all heads of one kv head. It walks the keys
// in tiles of 64, so K and V are read once a block, from L1 and L2 for every panel of the block. Bytes moved: q and y once, k
// and v once for every block that looks at them. A block of few lanes (decoding) puts its lanes along the head's width.
#include "ops/attention.h"

#include "cpu/attention_row.h"
#include "cpu/attention_tile.h"
#include "cpu/exec.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kMostLanes = 256, kLeastTasks = 32;

struct Panel {
  float *q, *sum;            // [hd][kWidth]
  float *largest, *total;    // [kWidth]: running maximum, and sum of 2^(score - largest)
  int32_t* position;         // [kWidth]

  Panel(float* memory, int64_t hd)
      : q(memory), sum(q + hd * kWidth), largest(sum + hd * kWidth), total(largest + kWidth),
        position(reinterpret_cast<int32_t*>(total + kWidth)) {}
  static int64_t floats(int64_t hd) { return (2 * hd + 3) * kWidth; }
};

// Online softmax down the lanes: scores become 2^(score - largest), and factor what the older sums shrink by.
void soften(float* scores, int64_t rows, float* largest, float* total, float* factor) {
  for (int64_t at = 0; at < kWidth; at += kLanes) {
    const vf before = load(largest + at);
    vf now[2] = {before, before};
    int64_t j = 0;
    for (; j + 2 <= rows; j += 2) {
      for (int64_t n = 0; n < 2; n++) now[n] = max(now[n], load(scores + (j + n) * kWidth + at));
    }
    if (j < rows) now[0] = max(now[0], load(scores + j * kWidth + at));
    const vf top = max(now[0], now[1]), shrink = exp2(before - top);
    vf sum = load(total + at) * shrink;
    for (j = 0; j < rows; j++) {
      const vf p = exp2(load(scores + j * kWidth + at) - top);
      store(scores + j * kWidth + at, p);
      sum += p;
    }
    store(largest + at, top);
    store(total + at, sum);
    store(factor + at, shrink);
  }
}

struct Operands {
  In q, k, v;
  Out y, lse;
  int64_t heads, hd;
  float scale;
  int64_t window;
};

void attend_block(const Operands& op, const Lanes& lanes, Worker& worker) {
  const int64_t hd = op.hd, each = Panel::floats(hd), panels = lanes.panels(), count = lanes.count();
  const int64_t stride = stride_of(hd);
  float* memory = worker.scratch<float>(panels * each + 2 * kTile * stride + (kTile + 1) * kWidth);
  float *k = memory + panels * each, *v = k + kTile * stride, *scores = v + kTile * stride, *factor = scores + kTile * kWidth;
  pack_lanes(op.q, lanes, hd, op.scale * kLog2e, memory, each);
  for (int64_t p = 0; p < panels; p++) {
    const Panel panel(memory + p * each, hd);
    std::memset(panel.sum, 0, size_t(hd * kWidth) * sizeof(float));
    for (int64_t i = 0; i < kWidth; i++) {
      const int64_t lane = p * kWidth + i;
      panel.largest[i] = kLowest;
      panel.total[i] = 0;
      panel.position[i] = int32_t(lanes.position(lane < count ? lane : count - 1));
    }
  }
  const int64_t end = lanes.position(count - 1) + 1, oldest = lanes.position(0) - op.window + 1;
  for (int64_t base = oldest > 0 ? oldest : 0; base < end; base += kTile) {
    const int64_t tile = end - base < kTile ? end - base : kTile;
    const auto rows_of = [&](const In& x, int64_t key) { return Rows::of(x, lanes.block.key_row + key, lanes.kv_head * hd); };
    pack_rows(rows_of(op.k, base), tile, hd, 1, k, stride);
    pack_rows(rows_of(op.v, base), tile, hd, 1, v, stride);
    const int64_t next = std::clamp<int64_t>(end - base - kTile, 0, kTile);
    fetch_rows(rows_of(op.k, base + kTile), next, hd);
    fetch_rows(rows_of(op.v, base + kTile), next, hd);
    for (int64_t p = 0; p < panels; p++) {
      const Panel panel(memory + p * each, hd);
      const int64_t visible = panel.position[kWidth - 1] + 1 - base, rows = visible < tile ? visible : tile;
      if (rows <= 0) continue;
      multiply(rows, kWidth, {k, stride, 1}, {panel.q, kWidth}, hd, {scores, kWidth});
      mask(scores, kWidth, rows, panel.position, base, base + op.window);
      soften(scores, rows, panel.largest, panel.total, factor);
      multiply(hd, kWidth, {v, 1, stride}, {scores, kWidth}, rows, {panel.sum, kWidth, true, factor});
    }
  }
  const auto panel_of = [&](int64_t lane) { return Panel(memory + lane / kWidth * each, hd); };
  for (int64_t lane = 0; op.lse && lane < count; lane++) {
    const Panel panel = panel_of(lane);
    const float lse = kLn2 * (panel.largest[lane % kWidth] + std::log2(panel.total[lane % kWidth]));
    op.lse.data<float>()[lanes.row(lane) * op.heads + lanes.head(lane)] = lse;
  }
  with_float_type(op.y.dtype, [&](auto type) {
    unpack_lanes(
        memory + hd * kWidth, each, lanes, hd, [&](int64_t lane) { return 1.0f / load(panel_of(lane).total + lane % kWidth); },
        op.y.data<decltype(type)>(), op.y.cols(), false);
  });
}

void attend_rows(const Operands& op, const Lanes& lanes, Worker& worker) {
  const int64_t hd = op.hd;
  float* q = worker.scratch<float>(2 * hd + kLanes + kTile);
  float *sum = q + hd + kLanes, *scores = sum + hd;
  for (int64_t lane = 0; lane < lanes.count(); lane++) {
    const int64_t row = lanes.row(lane), head = lanes.head(lane), end = lanes.position(lane) + 1;
    const int64_t begin = end > op.window ? end - op.window : 0;
    pack_rows(Rows::of(op.q, row, head * hd), 1, hd, op.scale * kLog2e, q, 0);
    const int64_t first = (lanes.block.key_row + begin) * op.k.cols() + lanes.kv_head * hd;
    float lse = 0;
    with_float_type(op.k.dtype, [&](auto type) {
      using E = decltype(type);
      lse = attend_row(q, op.k.data<E>() + first, op.v.data<E>() + first, op.k.cols(), end - begin, hd, scores, sum);
    });
    if (op.lse) op.lse.data<float>()[row * op.heads + head] = kLn2 * lse;
    with_float_type(op.y.dtype, [&](auto type) {
      auto* y = op.y.data<decltype(type)>() + row * op.y.cols() + head * hd;
      for (int64_t i = 0; i < hd; i++) narrow(sum[i], y[i]);
    });
  }
}
}  // namespace

void attention(Exec& exec, In q, In k, In v, In offsets, In starts, In lengths, Out y, Out lse, int64_t heads,
               int64_t kv_heads, float scale, int64_t window) {
  require(k.dtype == v.dtype, "k and v must have one number format");
  const Operands op{q, k, v, y, lse, heads, q.cols() / heads, scale, window > 0 ? window : kNoWindow};
  int64_t lanes_each = kMostLanes;
  while (lanes_each > kMostLanes / 4 && q.rows() * heads < kLeastTasks * lanes_each) lanes_each /= 2;
  const int64_t group = heads / kv_heads, per_block = group < lanes_each ? lanes_each / group : 1;
  const auto blocks = blocks_of(offsets, starts, lengths, q.rows(), k.rows(), per_block);
  const int64_t count = int64_t(blocks.size());
  exec.parallel(count * kv_heads, [&](int64_t task, Worker& worker) {
    // From the back: late blocks see the most keys, and the long tasks should not come last.
    const Lanes lanes{blocks[size_t(count - 1 - task / kv_heads)], group, task % kv_heads};
    if (lanes.count() <= kLanes / 2) {
      attend_rows(op, lanes, worker);
    } else {
      attend_block(op, lanes, worker);
    }
  });
}

}  // namespace mixwright::cpu::MW_ISA
