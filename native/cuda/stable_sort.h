// Sorts row numbers by small whole keys, equal keys in their order: counting sorts over digits of up to 11 bits, the lowest
// digit first (Satish et al. 2009). Bytes moved: about 20 · count a pass; 1024 experts take one pass, a vocabulary two.
// A block owns a tile of 2048 keys: it counts its digits, a scan over (digit, tile) says where each tile's rows of a digit go,
// and ranks inside a tile come from ballots. All counts are whole numbers, so that the atomics' order doesn't show.
#pragma once
#include <algorithm>

#include "cuda/launch.h"

namespace mixwright::cuda {

constexpr int kSortThreads = 256, kSortWarps = kSortThreads / kWarp, kSortRounds = 8, kSortTile = kSortThreads * kSortRounds;
constexpr int kSortMostBits = 11, kScanSlices = 32;

struct SortPass {
  const int32_t *keys, *order;  // order null: 0, 1, 2, …
  int64_t count, limit;         // a key outside of [0, limit) counts as `stray`
  int32_t stray;
  int shift, bits;

  __device__ int32_t key(int64_t i) const { return keys[i] >= 0 && keys[i] < limit ? keys[i] : stray; }
  __device__ int digit(int32_t key) const { return (key >> shift) & ((1 << bits) - 1); }
};

// counts [tiles][digits]
static __global__ void __launch_bounds__(kSortThreads) sort_count(SortPass pass, int32_t* counts, bool tells, Report to) {
  MW_SHARED(int32_t, bins);
  const int digits = 1 << pass.bits;
  for (int d = threadIdx.x; d < digits; d += kSortThreads) bins[d] = 0;
  __syncthreads();
  const int64_t begin = int64_t(blockIdx.x) * kSortTile;
  const int64_t end = min(begin + kSortTile, pass.count);
  for (int64_t i = begin + threadIdx.x; i < end; i += kSortThreads) {
    if (tells && (pass.keys[i] < 0 || pass.keys[i] >= pass.limit)) report(to, i, pass.keys[i], pass.limit);
    atomicAdd(&bins[pass.digit(pass.key(i))], 1);
  }
  __syncthreads();
  for (int d = threadIdx.x; d < digits; d += kSortThreads) counts[int64_t(blockIdx.x) * digits + d] = bins[d];
}

// Replaces each count by the sum of those of the tiles before; totals [digits]. A lane owns a digit, a warp a slice of tiles.
static __global__ void __launch_bounds__(kScanSlices* kWarp) sort_scan(int32_t* counts, int32_t* totals, int64_t tiles,
                                                                       int digits) {
  __shared__ int32_t sums[kScanSlices][kWarp];
  const int lane = threadIdx.x % kWarp, slice = threadIdx.x / kWarp, digit = int(blockIdx.x) * kWarp + lane;
  const int64_t per_slice = (tiles + kScanSlices - 1) / kScanSlices;
  const int64_t begin = min(slice * per_slice, tiles), end = digit < digits ? min(begin + per_slice, tiles) : 0;
  int32_t sum = 0;
  for (int64_t tile = begin; tile < end; tile++) sum += counts[tile * digits + digit];
  sums[slice][lane] = sum;
  __syncthreads();
  int32_t before = 0;
  for (int s = 0; s < slice; s++) before += sums[s][lane];
  for (int64_t tile = begin; tile < end; tile++) {
    const int32_t own = counts[tile * digits + digit];
    counts[tile * digits + digit] = before;
    before += own;
  }
  if (slice == kScanSlices - 1 && digit < digits) totals[digit] = before;
}

// starts[d] = where this tile's rows of digit d go
static __device__ void sort_starts(const int32_t* before, const int32_t* totals, int digits, int32_t* starts) {
  __shared__ int32_t warps[kSortWarps];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, per = (digits + kSortThreads - 1) / kSortThreads;
  const int begin = min(int(threadIdx.x) * per, digits), end = min(begin + per, digits);
  int32_t own = 0;
  for (int d = begin; d < end; d++) own += totals[d];
  int32_t sum = own;
  for (int by = 1; by < kWarp; by *= 2) {
    const int32_t left = __shfl_up_sync(0xffffffffu, sum, by);
    if (lane >= by) sum += left;
  }
  if (lane == kWarp - 1) warps[warp] = sum;
  __syncthreads();
  int32_t at = sum - own;
  for (int w = 0; w < warp; w++) at += warps[w];
  for (int d = begin; d < end; d++) {
    starts[d] = at + before[d];
    at += totals[d];
  }
}

static __global__ void __launch_bounds__(kSortThreads) sort_place(SortPass pass, const int32_t* counts, const int32_t* totals,
                                                                  int32_t* keys, int32_t* order) {
  MW_SHARED(int32_t, starts);  // [digits], then ranks u16 [warps][digits]
  const int digits = 1 << pass.bits, lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  uint16_t *const ranks = reinterpret_cast<uint16_t*>(starts + digits), *const own = ranks + warp * digits;
  sort_starts(counts + int64_t(blockIdx.x) * digits, totals, digits, starts);
  for (int d = lane; d < digits; d += kWarp) own[d] = 0;
  __syncwarp();

  const int64_t begin = int64_t(blockIdx.x) * kSortTile + warp * (kSortRounds * kWarp) + lane;
  const unsigned below = (1u << lane) - 1;
  int32_t key[kSortRounds];
  int rank[kSortRounds];
#pragma unroll
  for (int r = 0; r < kSortRounds; r++) key[r] = begin + r * kWarp < pass.count ? pass.key(begin + r * kWarp) : -1;
#pragma unroll
  for (int r = 0; r < kSortRounds; r++) {
    const bool valid = key[r] >= 0;
    const int digit = valid ? pass.digit(key[r]) : 0;
    unsigned peers = __ballot_sync(0xffffffffu, valid);  // lanes with the same digit
    for (int b = 0; b < pass.bits; b++) {
      const bool bit = (digit >> b) & 1;
      const unsigned set = __ballot_sync(0xffffffffu, bit);
      peers &= bit ? set : ~set;
    }
    const int before = own[digit];
    rank[r] = before + __popc(peers & below);
    __syncwarp();
    if (valid && (peers & below) == 0) own[digit] = uint16_t(before + __popc(peers));
    __syncwarp();
  }
  __syncthreads();
  for (int d = threadIdx.x; d < digits; d += kSortThreads) {
    int sum = 0;
    for (int w = 0; w < kSortWarps; w++) {
      const int count = ranks[w * digits + d];
      ranks[w * digits + d] = uint16_t(sum);
      sum += count;
    }
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < kSortRounds; r++) {
    if (key[r] < 0) continue;
    const int digit = pass.digit(key[r]);
    const int64_t i = begin + r * kWarp;
    const int32_t position = starts[digit] + own[digit] + rank[r];
    keys[position] = key[r];
    order[position] = pass.order ? pass.order[i] : int32_t(i);
  }
}

struct Sorted {
  const int32_t *keys, *order;  // sorted position → key, → where it stood
};

// Sorts `count` keys, all below `limit`: others are reported as `complaint` (where, key, limit), and count as `stray`, at most
// `limit`. `order` null: scratch. Takes the scratch slots 0 and 1, where the result stays.
static Sorted stable_sort(Exec& exec, const int32_t* keys, int64_t count, int64_t limit, int64_t stray, const char* complaint,
                          int32_t* order) {
  int total_bits = 1;
  while (int64_t(1) << total_bits < std::max(limit, stray + 1)) total_bits++;
  const int passes = (total_bits + kSortMostBits - 1) / kSortMostBits, bits = (total_bits + passes - 1) / passes;
  const int digits = 1 << bits;
  const int64_t tiles = pieces(count, kSortTile);
  int32_t *const totals = exec.scratch<int32_t>((tiles + 1) * digits, 0), *const counts = totals + digits;
  int32_t* const memory = exec.scratch<int32_t>((passes > 1 ? 4 : 2) * count, 1);
  const Report to = exec.report(complaint);
  Sorted from{keys, nullptr};
  for (int p = 0; p < passes; p++) {
    const SortPass pass{from.keys, from.order, count, limit, int32_t(stray), p * bits, bits};
    int32_t *const keys_out = memory + p % 2 * 2 * count, *const own = keys_out + count;
    int32_t* const order_out = p == passes - 1 && order ? order : own;
    const dim3 grid{unsigned(tiles)};
    launch(exec, sort_count, grid, kSortThreads, digits * 4, pass, counts, p == 0, to);
    if (count > 0) {
      launch(exec, sort_scan, dim3(unsigned(pieces(digits, kWarp))), kScanSlices * kWarp, 0, counts, totals, tiles, digits);
    }
    launch(exec, sort_place, grid, kSortThreads, digits * (4 + 2 * kSortWarps), pass, counts, totals, keys_out, order_out);
    from = {keys_out, order_out};
  }
  return from;
}

}  // namespace mixwright::cuda
