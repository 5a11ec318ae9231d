// Number formats of tensors: what one element is, how wide, and how bf16 is widened and rounded.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

// Functions that kernels on a GPU call too.
#ifdef __CUDACC__
#define MW_ANYWHERE __host__ __device__
#else
#define MW_ANYWHERE
#endif

namespace mixwright {

enum class DType : uint8_t { f32 = 0, bf16 = 1, i32 = 2, f16 = 3 };  // f16 only crosses the border in uploads

// Brain float: the upper half of an IEEE float.
struct bf16 {
  uint16_t bits;
};

MW_ANYWHERE constexpr int64_t bytes_of(DType dtype) {
  return dtype == DType::f32 || dtype == DType::i32 ? 4 : 2;
}

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32: return "f32";
    case DType::bf16: return "bf16";
    case DType::i32: return "i32";
    case DType::f16: return "f16";
  }
  return "?";
}

// `static` keeps one private copy per translation unit, so that a copy compiled for a newer processor is never linked
// into code that runs on an older one.
MW_ANYWHERE static inline float widen(float x) { return x; }

MW_ANYWHERE static inline float widen(bf16 x) {
  const uint32_t bits = uint32_t(x.bits) << 16;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}

// Rounds to nearest, ties to even; NaN stays NaN.
MW_ANYWHERE static inline void narrow(float x, bf16& out) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    out.bits = uint16_t((bits >> 16) | 0x40u);
  } else {
    out.bits = uint16_t((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  }
}

MW_ANYWHERE static inline void narrow(float x, float& out) { out = x; }

// The largest number of the format, that of the second argument, that is less than `high`.
static inline float below(double high, float) {
  const float nearest = float(high);
  return double(nearest) < high ? nearest : std::nextafter(nearest, -INFINITY);
}

static inline float below(double high, bf16) {
  const float value = below(high, float{});
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if (bits >> 31) bits += 0xffffu;  // away from zero, which is down
  return widen(bf16{uint16_t(bits >> 16)});
}

}  // namespace mixwright
