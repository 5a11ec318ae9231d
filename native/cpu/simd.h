// One vector type for every instruction set. A CPU kernel file is compiled once per instruction set, each time inside
// namespace mixwright::cpu::MW_ISA, and works on `vf`: kLanes floats, as wide as that instruction set's registers. GCC's
// and Clang's vector extensions do the arithmetic (+ - * / and comparisons work as written, a * b + c fuses where the
// processor can), so no kernel names an intrinsic.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

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

// bf16 is the upper half of a float: `spread` widens it, `upper_half` takes it out. A shuffle (with zeros) is one instruction
// where GCC 12 makes two of a conversion and a shift; NEON has instructions for both ways.
#if defined(__aarch64__)
MW_INLINE vf spread(vh half) { return vf(vshll_n_u16(uint16x4_t(half), 16)); }
MW_INLINE vh upper_half(vu bits) { return vh(vshrn_n_u32(uint32x4_t(bits), 16)); }
#else
template <int... I>
MW_INLINE vf spread(vh half, std::integer_sequence<int, I...>) {
  return vf(__builtin_shufflevector(vh{}, half, (I % 2 ? kLanes + I / 2 : 0)...));
}

template <int... I>
MW_INLINE vh upper_half(vu bits, std::integer_sequence<int, I...>) {
  typedef uint16_t halves __attribute__((vector_size(4 * MW_LANES)));
  return __builtin_shufflevector(halves(bits), halves(bits), (2 * I + 1)...);
}

MW_INLINE vf spread(vh half) { return spread(half, std::make_integer_sequence<int, 2 * kLanes>{}); }
MW_INLINE vh upper_half(vu bits) { return upper_half(bits, std::make_integer_sequence<int, kLanes>{}); }
#endif

MW_INLINE vf load(const bf16* p) {
  vh half;
  std::memcpy(&half, p, sizeof half);
  return spread(half);
}

MW_INLINE void store(float* p, vf v) { std::memcpy(p, &v, sizeof v); }

MW_INLINE void store(bf16* p, vf v) {
  const vu bits = vu(v);
  const vu rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const vh half = upper_half(v != v ? bits | 0x400000u : rounded);
  std::memcpy(p, &half, sizeof half);
}

// Past the caches, for what is much larger than they are; `p` is aligned to the vector. `after_streams` before anyone else
// reads it.
MW_INLINE void stream(float* p, vf v) {
#if defined(__AVX512F__)
  __builtin_ia32_movntps512(p, v);
#elif defined(__AVX2__)
  __builtin_ia32_movntps256(p, v);
#elif defined(__SSE2__)
  __builtin_ia32_movntps(p, v);
#else
  store(p, v);
#endif
}

MW_INLINE void after_streams() {
#if defined(__SSE2__)
  __builtin_ia32_sfence();
#endif
}

template <class T, int N>
struct Several {
  typedef T type __attribute__((vector_size(sizeof(T) * N)));
};

template <class T, int N, int... I>
MW_INLINE typename Several<T, N>::type join(typename Several<T, N / 2>::type low, typename Several<T, N / 2>::type high,
                                            std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(low, high, I...);
}

// The first `count` of N elements, then zeros: halves put together in registers, because memory that was written in parts
// is slow to read as a whole.
template <class T, int N>
MW_INLINE typename Several<T, N>::type first_of(const T* p, int64_t count) {
  if constexpr (N == 4) {
    typename Several<T, N>::type v = {};
    if (count > 0) v[0] = p[0];
    if (count > 1) v[1] = p[1];
    if (count > 2) v[2] = p[2];
    if (count > 3) v[3] = p[3];
    return v;
  } else {
    typename Several<T, N / 2>::type low = {}, high = {};
    if (count < N / 2) {
      low = first_of<T, N / 2>(p, count);
    } else {
      std::memcpy(&low, p, sizeof low);
      if (count > N / 2) high = first_of<T, N / 2>(p + N / 2, count - N / 2);
    }
    return join<T, N>(low, high, std::make_integer_sequence<int, N>{});
  }
}

// The first `count` lanes; the others read as 0 and are not written. For the tail of a row.
MW_INLINE vf load(const float* p, int64_t count) { return first_of<float, kLanes>(p, count); }

MW_INLINE vf load(const bf16* p, int64_t count) {
  return spread(vh(first_of<uint16_t, kLanes>(&p->bits, count)));
}

template <class T>
MW_INLINE void store(T* p, vf v, int64_t count) {
  T padded[kLanes];
  store(padded, v);
  const T* from = padded;
#pragma GCC unroll 4
  for (int size = kLanes / 2; size > 0; size /= 2) {
    if (!(count & size)) continue;
    std::memcpy(p, from, size_t(size) * sizeof(T));
    p += size;
    from += size;
  }
}

MW_INLINE vf select(vi mask, vf yes, vf no) { return mask ? yes : no; }
// One instruction each, whose rule is: b where either is NaN.
MW_INLINE vf max(vf a, vf b) { return a > b ? a : b; }
MW_INLINE vf min(vf a, vf b) { return a < b ? a : b; }

template <int... I>
MW_INLINE vi lane_numbers(std::integer_sequence<int, I...>) {
  return vi{I...};
}

// v with all lanes from `count` on replaced.
MW_INLINE vf keep(vf v, int64_t count, float rest) {
  return select(lane_numbers(std::make_integer_sequence<int, kLanes>{}) < int32_t(count), v, splat(rest));
}

template <int S, int... I>
MW_INLINE vf rotate(vf v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, ((I + S) % kLanes)...);
}

// Sum of the lanes in a fixed tree: halves first.
template <int S = kLanes / 2>
MW_INLINE float sum(vf v) {
  if constexpr (S > 0) return sum<S / 2>(v + rotate<S>(v, std::make_integer_sequence<int, kLanes>{}));
  return v[0];
}

template <int S = kLanes / 2>
MW_INLINE float max_lane(vf v) {
  if constexpr (S > 0) return max_lane<S / 2>(max(v, rotate<S>(v, std::make_integer_sequence<int, kLanes>{})));
  return v[0];
}

// A constant that the compiler does not recognize: of max and min with one it recognizes, GCC 12 makes two instructions each.
MW_INLINE vf opaque(float x) {
  vf v = splat(x);
#ifdef __x86_64__
  __asm__("" : "+v"(v));
#endif
  return v;
}

constexpr float kRound = 12582912.0f;  // 1.5·2^23: a float plus this has its nearest integer in the low bits
constexpr float kRoundBiased = kRound + 127;

// e^x to about 2 units in the last place: x = n·ln2 + r with |r| <= ln2/2, a degree-6 polynomial for e^r, times 2^n, whose
// exponent field is the low byte of the biased sum. 0 below -87.7 and infinity above 88.4; NaN stays NaN.
MW_INLINE vf exp(vf x) {
  const vf clamped = min(opaque(88.5f), max(opaque(-88.0f), x));
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
  const vf clamped = max(opaque(-127.0f), x);
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
