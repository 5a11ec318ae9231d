// The register blocks, once for each number of rows and vectors: see gemm_block.h.
#include "cpu/gemm_block.h"

#include <array>
#include <type_traits>
#include <utility>

namespace mixwright::cpu::MW_ISA {

namespace {
// Lane i everywhere. GCC 12 for aarch64 sends splat(x[i]) through other registers.
MW_INLINE vf lane(vf x, int i) {
#if MW_LANES == 4
  switch (i) {
    case 0: return __builtin_shufflevector(x, x, 0, 0, 0, 0);
    case 1: return __builtin_shufflevector(x, x, 1, 1, 1, 1);
    case 2: return __builtin_shufflevector(x, x, 2, 2, 2, 2);
    default: return __builtin_shufflevector(x, x, 3, 3, 3, 3);
  }
#else
  return splat(x[i]);
#endif
}

template <int R, int V>
MW_INLINE void multiply_add(vf (&c)[R][V], const vf (&y)[V], int r, vf x) {
#pragma GCC unroll 2
  for (int v = 0; v < V; v++) c[r][v] += x * y[v];
}

// R rows of the left side · V vectors of the right one, over ks steps.
template <Left kLeft, Right kRight, int R, int V, class T>
void register_block(const T* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t ks, Into into, Soon soon) {
  vf c[R][V] = {};
  const auto right = [&](vf(&y)[V]) __attribute__((always_inline)) {
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) y[v] = load(b + v * kLanes);
    if constexpr (kRight == Right::kRows) prefetch(b + kPanel);
    b += kRight == Right::kPacked ? kPanel : b_stride;
  };
  const auto step = [&](int64_t k) __attribute__((always_inline)) {
    vf y[V];
    right(y);
    if constexpr (kByLane && kLeft == Left::kPacked) {
      vf x[(R + kLanes - 1) / kLanes];
#pragma GCC unroll 3
      for (int r = 0; r < R; r += kLanes) x[r / kLanes] = load(a + k * kBlockRows + r);
#pragma GCC unroll 12
      for (int r = 0; r < R; r++) multiply_add<R, V>(c, y, r, lane(x[r / kLanes], r % kLanes));
    } else {
#pragma GCC unroll 12
      for (int r = 0; r < R; r++) {
        multiply_add<R, V>(c, y, r, splat(kLeft == Left::kPacked ? widen(a[k * kBlockRows + r]) : widen(a[r * a_stride + k])));
      }
    }
  };
  constexpr int kTogether = kByLane && kLeft == Left::kRows ? kLanes : 1;
  const auto steps = [&](int64_t k) __attribute__((always_inline)) {  // k and the next ones, kTogether in all
    if constexpr (kTogether == 1) {
      step(k);
    } else {
      vf x[R];
#pragma GCC unroll 12
      for (int r = 0; r < R; r++) x[r] = load(a + r * a_stride + k);
#pragma GCC unroll 4
      for (int i = 0; i < kTogether; i++) {
        vf y[V];
        right(y);
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) multiply_add<R, V>(c, y, r, lane(x[r], i));
      }
    }
  };
  if (!into.past_caches) {
    const float* place = into.at;
#pragma GCC unroll 12
    for (int r = 0; r < R; r++, place += into.stride) {
#pragma GCC unroll 2
      for (int at = 0; at < V * kLanes; at += 16) __builtin_prefetch(place + at, 1, 3);
    }
  }
  if (into.carry) {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
      for (int at = 0; at < V * kLanes; at += 16) prefetch(into.carry + r * kPanel + at);
    }
  }
  int64_t k = 0;
  if constexpr (!kByLane && kLeft == Left::kRows && std::is_same_v<T, bf16>) {
    for (; k + 2 <= ks; k += 2) {  // two neighbours in one broadcast
      if (k % 32 == 0) {
        for (int64_t line = 0; line < soon.lines; line++) {
          __builtin_prefetch(static_cast<const char*>(soon.at) + line * soon.stride + k / 16 * soon.step, 0, 2);
        }
      }
      vf y[V], z[V];
      right(y);
      right(z);
#pragma GCC unroll 12
      for (int r = 0; r < R; r++) {
        uint32_t pair;
        std::memcpy(&pair, a + r * a_stride + k, sizeof pair);
        const vu both = vu{} + pair;
        multiply_add<R, V>(c, y, r, vf(both << 16));
        multiply_add<R, V>(c, z, r, vf(both & 0xffff0000u));
      }
    }
  }
  const char* at = static_cast<const char*>(soon.at);
  for (; k + 16 <= ks; k += 16, at += soon.step) {
    for (int64_t line = 0; line < soon.lines; line++) __builtin_prefetch(at + line * soon.stride, 0, 2);
#pragma GCC unroll 2
    for (int64_t i = 0; i < 16; i += kTogether) steps(k + i);
  }
  for (; k < ks; k++) step(k);
  if (into.carry) {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) c[r][v] += load(into.carry + r * kPanel + v * kLanes);
    }
  }
  if (into.alpha != 1) {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) c[r][v] *= into.alpha;
    }
  }
  float* place = into.at;
  asm volatile("" : "+r"(place));  // the addresses above are not to be kept until here
  const auto put = [&](auto&& store_one) __attribute__((always_inline)) {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++, place += into.stride) {
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) store_one(place + v * kLanes, c[r][v]);
    }
  };
  if (into.past_caches) {
    put([](float* at, vf x) __attribute__((always_inline)) { stream(at, x); });
  } else if (into.add) {
    put([](float* at, vf x) __attribute__((always_inline)) { store(at, load(at) + x); });
  } else {
    put([](float* at, vf x) __attribute__((always_inline)) { store(at, x); });
  }
}

template <Left kLeft, Right kRight, int V, class T, int... R>
constexpr std::array<RegisterBlock<T>, sizeof...(R)> register_blocks(std::integer_sequence<int, R...>) {
  return {register_block<kLeft, kRight, R + 1, V, T>...};
}
}  // namespace

template <Left kLeft, Right kRight, class T>
RegisterBlock<T> register_block_for(int64_t rows, int64_t cols) {
  static constexpr int kTwoRows = kLeft == Left::kPacked ? kBlockRows : kRowsInPlace;
  static constexpr int kOneRows = kLeft == Left::kPacked ? kBlockRows : kMostRows;
  static constexpr auto kOne = register_blocks<kLeft, kRight, 1, T>(std::make_integer_sequence<int, kOneRows>{});
  static constexpr auto kTwo = register_blocks<kLeft, kRight, 2, T>(std::make_integer_sequence<int, kTwoRows>{});
  return cols > kLanes ? kTwo[size_t(rows - 1)] : kOne[size_t(rows - 1)];
}

template RegisterBlock<float> register_block_for<Left::kPacked, Right::kPacked, float>(int64_t, int64_t);
template RegisterBlock<float> register_block_for<Left::kPacked, Right::kRows, float>(int64_t, int64_t);
template RegisterBlock<float> register_block_for<Left::kRows, Right::kPacked, float>(int64_t, int64_t);
template RegisterBlock<bf16> register_block_for<Left::kRows, Right::kPacked, bf16>(int64_t, int64_t);

}  // namespace mixwright::cpu::MW_ISA
