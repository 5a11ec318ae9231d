// Attention of one query with its lanes along the head's width, straight from the cache: for decoding, where nearly all
// lanes of a panel would be empty.
#pragma once
#include "cpu/attention_tile.h"

namespace mixwright::cpu::MW_ISA {

constexpr float kLowest = -1e30f;  // where a running maximum starts; finite, so that masked - kLowest is still -infinity

template <int N, class E>
MW_INLINE void dot_rows(const float* q, const E* k, int64_t stride, int64_t width, float* scores) {
  vf dot[N] = {};
  sweep(
      width, [&](int64_t i) { for (int n = 0; n < N; n++) dot[n] += load(q + i) * load(k + n * stride + i); },
      [&](int64_t i, int64_t m) { for (int n = 0; n < N; n++) dot[n] += load(q + i, m) * load(k + n * stride + i, m); });
  for (int n = 0; n < N; n++) scores[n] = sum(dot[n]);
}

template <int N, class E>
MW_INLINE void add_rows(const float* weight, const E* v, int64_t stride, int64_t width, float* sum) {
  sweep(
      width,
      [&](int64_t i) {
        vf y = load(sum + i);
        for (int n = 0; n < N; n++) y += weight[n] * load(v + n * stride + i);
        store(sum + i, y);
      },
      [&](int64_t i, int64_t m) {
        vf y = load(sum + i, m);
        for (int n = 0; n < N; n++) y += weight[n] * load(v + n * stride + i, m);
        store(sum + i, y, m);
      });
}

// out [width] = softmax of 2^(q·k), times v, over `keys` rows; returns log2 Σ 2^(q·k). scores: kTile floats of working space.
template <class E>
static float attend_row(const float* q, const E* k, const E* v, int64_t stride, int64_t keys, int64_t width, float* scores,
                        float* out) {
  constexpr int N = 4;
  float largest = kLowest, total = 0;
  for (int64_t i = 0; i < width; i++) out[i] = 0;
  for (int64_t base = 0; base < keys; base += kTile, k += kTile * stride, v += kTile * stride) {
    const int64_t rows = keys - base < kTile ? keys - base : kTile;
    int64_t j = 0;
    for (; j + N <= rows; j += N) dot_rows<N>(q, k + j * stride, stride, width, scores + j);
    for (; j < rows; j++) dot_rows<1>(q, k + j * stride, stride, width, scores + j);
    for (; j < kTile; j++) scores[j] = -INFINITY;

    vf top = splat(largest);
    for (j = 0; j < kTile; j += kLanes) top = max(top, load(scores + j));
    const float now = max_lane(top), shrink = exp2(splat(largest - now))[0];
    vf part = {};
    for (j = 0; j < kTile; j += kLanes) {
      const vf p = exp2(load(scores + j) - now);
      store(scores + j, p);
      part += p;
    }
    largest = now;
    total = total * shrink + sum(part);

    for (int64_t i = 0; i < width; i++) out[i] *= shrink;
    for (j = 0; j + N <= rows; j += N) add_rows<N>(scores + j, v + j * stride, stride, width, out);
    for (; j < rows; j++) add_rows<1>(scores + j, v + j * stride, stride, width, out);
  }
  for (int64_t i = 0; i < width; i++) out[i] /= total;
  return largest + std::log2(total);
}

}  // namespace mixwright::cpu::MW_ISA
