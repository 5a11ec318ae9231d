// Routing, norms, activations, noise and attention.
#include "checks.h"

static void check_router(Checks& checks) {
  const int64_t T = 21, chosen = 3, all = 37;
  const Tensor logits = Tensor::random(DType::f32, {T, all}, -3, 3), dweights = Tensor::random(DType::f32, {T, chosen});
  Tensor probs(DType::f32, {T, all}), ids(DType::i32, {T, chosen}), weights(DType::f32, {T, chosen}), dlogits(DType::f32, {T, all});
  const Numbers z = logits.numbers();
  Numbers share;
  for (int64_t t = 0; t < T; t++) {
    double sum = 0;
    for (int64_t e = 0; e < all; e++) sum += std::exp(z[t * all + e]);
    Numbers row;
    for (int64_t e = 0; e < all; e++) row.push_back(std::exp(z[t * all + e]) / sum);
    std::sort(row.rbegin(), row.rend());
    for (int64_t c = 0; c < chosen; c++) share.push_back(row[c] / (row[0] + row[1] + row[2]));
  }
  checks.run("router", {&weights, &probs, &ids}, share, [&](Exec& exec) { k.router(exec, logits, {}, probs, ids, weights, true); });
  checks.run("router_grad", {&dlogits}, {}, [&](Exec& exec) { k.router_grad(exec, dweights, probs, ids, dlogits, true, false); });
}

static void check_rows(Checks& checks) {
  const int64_t T = 37, D = 75;
  for (const DType dtype : kFormats) {
    const Tensor x = Tensor::random(dtype, {T, D}, -4, 4), w = Tensor::random(dtype, {D}), dy = Tensor::random(dtype, {T, D});
    const Tensor up = Tensor::random(dtype, {T, D});
    Tensor y(dtype, {T, D}), rstd(DType::f32, {T}), dx(dtype, {T, D}), dw(DType::f32, {D}), dup(dtype, {T, D});
    const Numbers xs = x.numbers(), ws = w.numbers(), ups = up.numbers();
    Numbers normed(T * D), gated(T * D);
    for (int64_t t = 0; t < T; t++) {
      double square = 0;
      for (int64_t d = 0; d < D; d++) square += xs[t * D + d] * xs[t * D + d];
      for (int64_t i = t * D; i < (t + 1) * D; i++) {
        normed[i] = xs[i] / std::sqrt(square / D + 1e-5) * ws[i % D];
        gated[i] = xs[i] / (1 + std::exp(-xs[i])) * ups[i];
      }
    }
    checks.run("rms_norm", {&y, &rstd}, normed, [&](Exec& exec) { k.rms_norm(exec, x, w, y, rstd, 1e-5f); });
    checks.run("rms_norm_grad", {&dx, &dw}, {},
               [&](Exec& exec) { k.rms_norm_grad(exec, dy, x, w, rstd, dx, dw, false, false); });
    checks.run("swiglu", {&y}, gated, [&](Exec& exec) { k.swiglu(exec, x, up, y); });
    checks.run("swiglu_grad", {&dx, &dup}, {}, [&](Exec& exec) { k.swiglu_grad(exec, dy, x, up, dx, dup); });
    checks.run("dropout", {&y}, {}, [&](Exec& exec) { k.dropout(exec, x, y, 0.3f, 5, 6); });
  }
  Tensor noise(DType::f32, {1001});
  checks.run("random_normal", {&noise}, {}, [&](Exec& exec) { k.random_normal(exec, noise, 0, 1, 3, 4); });
}

static void check_attention(Checks& checks) {
  const int64_t T = 79, H = 4, G = 2, D = 20;
  const std::vector<int32_t> begins{0, 70, 70, 79};
  const Tensor offsets = Tensor::ints(begins);
  for (int way = 0; way < 4; way++) {
    const int64_t window = way % 2 * 20;
    const DType dtype = kFormats[way / 2];
    const Tensor q = Tensor::random(dtype, {T, H * D}), key = Tensor::random(dtype, {T, G * D}), v = Tensor::random(dtype, {T, G * D});
    const Tensor dy = Tensor::random(dtype, {T, H * D});
    Tensor y(dtype, {T, H * D}), lse(DType::f32, {T, H}), dq(dtype, {T, H * D}), dk(dtype, {T, G * D}), dv(dtype, {T, G * D});
    Tensor delta(DType::f32, {T, H});
    const Numbers qs = q.numbers(), keys = key.numbers(), vs = v.numbers();
    Numbers want(T * H * D);
    for (int64_t t = 0; t < T; t++) {
      const int64_t begin = t < 70 ? 0 : 70, first = window ? std::max(begin, t - window + 1) : begin;
      for (int64_t h = 0; h < H; h++) {
        double total = 0;
        double* const out = &want[(t * H + h) * D];
        for (int64_t s = first; s <= t; s++) {
          double score = 0;
          for (int64_t d = 0; d < D; d++) score += qs[(t * H + h) * D + d] * keys[(s * G + h / 2) * D + d];
          total += std::exp(0.7 * score);
          for (int64_t d = 0; d < D; d++) out[d] += std::exp(0.7 * score) * vs[(s * G + h / 2) * D + d];
        }
        for (int64_t d = 0; d < D; d++) out[d] /= total;
      }
    }
    checks.run("attention", {&y, &lse}, want,
               [&](Exec& exec) { k.attention(exec, q, key, v, offsets, In{}, In{}, y, lse, H, G, 0.7f, window); });
    checks.run("attention_grad", {&dq, &dk, &dv}, {}, [&](Exec& exec) {
      k.attention_grad(exec, dy, q, key, v, y, lse, offsets, dq, dk, dv, delta, H, G, 0.7f, window);
    });
  }
}

void check_layers(Checks& checks) {
  check_router(checks);
  check_rows(checks);
  check_attention(checks);
}
