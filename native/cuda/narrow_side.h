// What the products of narrow.h share: the size of a block and of its tile of x, and the share of a thread in bringing a tile
// of the narrow side.
#pragma once
#include "cuda/fours.h"

namespace mixwright::cuda {

constexpr int kNarrowThreads = 256, kNarrowTile = 64, kNarrowGroup = 16;

// Four neighbours of x on their way: a bf16 pair to a register.
__device__ inline uint2 fetch_four(const bf16* p, int count, bool aligned) {
  if (aligned && count >= 4) return *reinterpret_cast<const uint2*>(p);
  const Four<bf16> four = load_four(p, count, false);
  return make_uint2(four.v[0].bits | uint32_t(four.v[1].bits) << 16, four.v[2].bits | uint32_t(four.v[3].bits) << 16);
}
__device__ inline Four<float> fetch_four(const float* p, int count, bool aligned) { return load_four(p, count, aligned); }
__device__ inline void widen_four(uint2 from, float (&to)[4]) {
  to[0] = __uint_as_float(from.x << 16), to[1] = __uint_as_float(from.x & 0xffff0000u);
  to[2] = __uint_as_float(from.y << 16), to[3] = __uint_as_float(from.y & 0xffff0000u);
}

// The narrow side's tile, 64 deep and kGroups · 16 columns wide, in pieces of four along the depth (kAlongK) or along the
// columns, as they follow each other in memory: a thread has kGroups of them.
template <int kGroups, bool kAlongK>
struct RightPieces {
  static constexpr int kFours = (kAlongK ? kNarrowTile : kGroups * kNarrowGroup) / 4, kStep = kNarrowThreads / kFours;
  float v[kGroups][4];

  // Piece p begins at element `place` of line `line`: a line is a column (kAlongK) or a step of the depth.
  static __device__ int line(int p) { return int(threadIdx.x) / kFours + p * kStep; }
  static __device__ int place() { return int(threadIdx.x) % kFours * 4; }

  // The tile begins at element `first`, a line is `stride` from the next; so much depth and so many columns are left.
  __device__ void fetch(const AnyFloats& from, int64_t first, int64_t stride, int depth, int columns, bool aligned) {
    const int lines = kAlongK ? columns : depth, length = (kAlongK ? depth : columns) - place();
    const int64_t own = first + line(0) * stride + place();
#pragma unroll
    for (int p = 0; p < kGroups; p++) {
      load_four(from, own + p * kStep * stride, line(p) < lines ? length : 0, aligned, v[p]);
    }
  }
  template <class Core>
  __device__ void put(Core& core) const {
#pragma unroll
    for (int p = 0; p < kGroups; p++) core.put_right(line(p), place(), v[p]);
  }
};

}  // namespace mixwright::cuda
