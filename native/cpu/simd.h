// One vector type for every instruction set. A CPU kernel file is compiled once per instruction set, each time inside
// namespace mixwright::cpu::MW_ISA, and works on `vf`: kLanes floats, as wide as that instruction set's registers. GCC's
// and Clang's vector extensions do the arithmetic (+ - * / and comparisons work as written, a * b + c fuses where the
// processor can), so no kernel names an intrinsic.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "core/dtype.h"

#ifndef MW_ISA
#error "MW_ISA names the namespace of this copy: baseline, avx2 or avx512"
#endif
#ifndef MW_LANES
#error "MW_LANES is the number of floats in a register of this copy"
#endif

namespace mixwright::cpu::MW_ISA {

constexpr int kLanes = MW_LANES;

typedef float vf __attribute__((vector_size(4 * MW_LANES)));
typedef int32_t vi __attribute__((vector_size(4 * MW_LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * MW_LANES)));
typedef uint16_t vh __attribute__((vector_size(2 * MW_LANES)));

#define MW_INLINE static inline __attribute__((always_inline))

MW_INLINE vf splat(float x) { return x - vf{}; }

MW_INLINE vf load(const float* p) {
  vf v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

MW_INLINE vf load(const bf16* p) {
#if defined(__aarch64__)
  return vf(vshll_n_u16(vld1_u16(&p->bits), 16));
#else
  vh half;
  std::memcpy(&half, p, sizeof half);
  return vf(__builtin_convertvector(half, vu) << 16);
#endif
}

MW_INLINE void store(float* p, vf v) { std::memcpy(p, &v, sizeof v); }

MW_INLINE void store(bf16* p, vf v) {
  const vu bits = vu(v);
  const vu rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const vu quiet = (bits >> 16) | 0x40u;
  const vu nan = vu(v != v);
  const vh half = __builtin_convertvector((rounded & ~nan) | (quiet & nan), vh);
  std::memcpy(p, &half, sizeof half);
}

// The first `count` lanes; the others read as 0 and are not written. For the tail of a row.
template <class T>
MW_INLINE vf load(const T* p, int64_t count) {
  T padded[kLanes] = {};
  for (int64_t i = 0; i < count; i++) padded[i] = p[i];
  return load(padded);
}

template <class T>
MW_INLINE void store(T* p, vf v, int64_t count) {
  T padded[kLanes];
  store(padded, v);
  for (int64_t i = 0; i < count; i++) p[i] = padded[i];
}

MW_INLINE vf select(vi mask, vf yes, vf no) { return mask ? yes : no; }
// One instruction each, whose rule is: b where either is NaN.
MW_INLINE vf max(vf a, vf b) { return a > b ? a : b; }
MW_INLINE vf min(vf a, vf b) { return a < b ? a : b; }

// Sum of the lanes in a fixed tree: halves first.
MW_INLINE float sum(vf v) {
  float lane[kLanes];
  std::memcpy(lane, &v, sizeof v);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; i++) lane[i] += lane[i + width];
  }
  return lane[0];
}

MW_INLINE float max_lane(vf v) {
  float lane[kLanes];
  std::memcpy(lane, &v, sizeof v);
  float best = lane[0];
  for (int i = 1; i < kLanes; i++) best = lane[i] > best ? lane[i] : best;
  return best;
}

constexpr float kRound = 12582912.0f;  // 1.5·2^23: a float plus this has its nearest integer in the low bits
constexpr float kRoundBiased = kRound + 127;

// e^x to about 2 units in the last place: x = n·ln2 + r with |r| <= ln2/2, a degree-6 polynomial for e^r, times 2^n, whose
// exponent field is the low byte of the biased sum. 0 below -87.7 and infinity above 88.4; NaN stays NaN.
MW_INLINE vf exp(vf x) {
  const vf clamped = min(splat(88.5f), max(splat(-88.0f), x));
  const vf biased = clamped * 1.44269504f + kRoundBiased;
  const vf n = biased - kRoundBiased;
  const vf r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;  // ln2 in two parts
  vf p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  return p * vf(vi(biased) << 23);
}

// 2^x for x <= 127, to about 2 units in the last place; exactly 0 below -126.5. NaN stays NaN.
MW_INLINE vf exp2(vf x) {
  const vf clamped = max(splat(-127.0f), x);
  const vf biased = clamped + kRoundBiased;
  const vf r = clamped - (biased - kRoundBiased);
  vf p = splat(1.3264727e-3f);
  p = p * r + 9.671513e-3f;
  p = p * r + 5.5507336e-2f;
  p = p * r + 2.4022242e-1f;
  p = p * r + 6.93147e-1f;
  p = p * r + 1.0f;
  return p * vf(vi(biased) << 23);
}

MW_INLINE vf sigmoid(vf x) { return 1.0f / (1.0f + exp(-x)); }

MW_INLINE vf sqrt(vf x) {
  vf y;
  for (int i = 0; i < kLanes; i++) y[i] = std::sqrt(x[i]);
  return y;
}

// Calls body(offset, lanes) along a row of n elements: first whole vectors (lanes == kLanes), then the tail, if any.
template <class Whole, class Tail>
MW_INLINE void sweep(int64_t n, Whole&& whole, Tail&& tail) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) whole(i);
  if (i < n) tail(i, n - i);
}

// One body for both, where only the loads and stores know about the tail:
//   sweep(n, [&](int64_t i, auto... lanes) { store(y + i, 2.0f * load(x + i, lanes...), lanes...); });
template <class Body>
MW_INLINE void sweep(int64_t n, Body&& body) {
  sweep(n, body, body);
}

}  // namespace mixwright::cpu::MW_ISA
