// The instructions of cuda/ptx.h: what each lane gives and gets.
#include <cstdio>

#include "core/dtype.h"
#include "emulator.h"

namespace mixwright::cuda {

namespace {
float half_of(uint32_t pair, int upper) { return __uint_as_float(upper ? pair & 0xffff0000u : pair << 16); }
}  // namespace

void load_matrices_emulated(uint32_t (&r)[4], const void* row, bool transpose) {
  using namespace emulator;
  if (uintptr_t(row) % 16 != 0) {
    std::fprintf(stderr, "emulator: ldmatrix of a row that isn't aligned to 16 bytes\n");
    std::abort();
  }
  LaneSlot* const slots = warp_slots();
  const int l = lane();
  std::memcpy(slots[l].bytes, row, 16);
  warp_barrier();
  for (int i = 0; i < 4; i++) {
    uint16_t pair[2];
    for (int h = 0; h < 2; h++) {
      const int own = l / 4, other = 2 * (l % 4) + h;
      std::memcpy(&pair[h], slots[8 * i + (transpose ? other : own)].bytes + 2 * (transpose ? own : other), 2);
    }
    r[i] = uint32_t(pair[0]) | uint32_t(pair[1]) << 16;
  }
  warp_barrier();
}

uint32_t pack_bf16(float low, float high) {
  bf16 pair[2];
  narrow(low, pair[0]);
  narrow(high, pair[1]);
  return uint32_t(pair[0].bits) | uint32_t(pair[1].bits) << 16;
}

void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  using namespace emulator;
  LaneSlot* const slots = warp_slots();
  const int l = lane(), g = l / 4, t = l % 4;
  std::memcpy(slots[l].bytes, a, 16);
  std::memcpy(slots[l].bytes + 16, b, 8);
  warp_barrier();
  const auto word = [&](int from, int i) {
    uint32_t x;
    std::memcpy(&x, slots[from].bytes + 4 * i, 4);
    return x;
  };
  for (int c = 0; c < 4; c++) {
    const int row = g + (c / 2) * 8, column = 2 * t + c % 2;
    float sum = 0;
    for (int k = 0; k < 16; k++) {
      const float x = half_of(word(row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2), k % 2);
      const float y = half_of(word(column * 4 + k % 8 / 2, 4 + k / 8), k % 2);
      sum += x * y;
    }
    d[c] += sum;
  }
  warp_barrier();
}

}  // namespace mixwright::cuda
