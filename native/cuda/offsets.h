// What require_offsets (core/checks.h) checks, on the device, in its words.
#pragma once
#include "cuda/launch.h"

namespace mixwright::cuda {

struct OffsetReports {
  Report begins, falls, ends;
};

inline OffsetReports offset_reports(Exec& exec) {
  return {exec.report("offsets begin at %lld, needed 0"), exec.report("offsets fall from %lld to %lld at entry %lld"),
          exec.report("offsets end at %lld, there are %lld rows")};
}

// For one warp: reports the first thing that is wrong with offsets [groups + 1] of `rows` rows.
__device__ inline void check_offsets(const int32_t* offsets, int64_t groups, int64_t rows, const OffsetReports& to) {
  int64_t bad = groups;
  for (int64_t i = threadIdx.x % kWarp; i < groups; i += kWarp) {
    if (offsets[i + 1] >= offsets[i]) continue;
    bad = i;
    break;
  }
  for (int by = 16; by > 0; by /= 2) {
    const int64_t other = __shfl_xor_sync(0xffffffffu, bad, by);
    bad = other < bad ? other : bad;
  }
  if (threadIdx.x % kWarp != 0) return;
  if (offsets[0] != 0) return report(to.begins, offsets[0]);
  if (bad < groups) return report(to.falls, offsets[bad], offsets[bad + 1], bad + 1);
  if (offsets[groups] != rows) report(to.ends, offsets[groups], rows);
}

}  // namespace mixwright::cuda
