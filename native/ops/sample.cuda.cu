// Bytes moved: B·V logits, once at temperature 0. Else the weights of as many rows as kWeights allows are written to scratch
// memory by the whole device, and then one block draws for a row: it reads what is kept twice, and for each cut the row once
// for every four bits of a logit and once more for ties.
// A cut needs no sorting: the logit of the last token that is kept is found four bits at a time (radix select), with the sums
// of the weights of the 16 continuations; then the last index among equal logits.
// All sums are doubles in a fixed order, which isn't the CPU's: a token could only differ where a sum meets its goal to the
// last bits. A row that can't be drawn from is reported and gets token 0.
#include "ops/sample.h"

#include <algorithm>

#include "core/philox.h"
#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
constexpr int kMostThreads = 512, kDigitBits = 4, kDigits = 1 << kDigitBits;
constexpr int64_t kWeights = 1 << 23;  // doubles at a time, where a row isn't longer
enum Slot { kWeightSlot = 4 };

// Whole numbers in the order of the logits; -0 is 0.
__device__ inline uint32_t key_of(float x) {
  const uint32_t bits = __float_as_uint(x == 0 ? 0.0f : x);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

// A block owns a row: the largest logit, lowest index on ties; `bad` if there is none to draw from.
template <class E>
__global__ __launch_bounds__(1024) void take_largest(const E* logits, int64_t V, int32_t* ids, int32_t bad, Report bad_row) {
  using Place = unsigned long long;  // the key, then what is larger for lower indices
  __shared__ Place warps[33];
  const int64_t row = blockIdx.x;
  logits += row * V;
  Place best = 0;
  bool nan = false;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < V; i += blockDim.x) {
    const float x = load_float(logits + i);
    const Place place = Place(key_of(x)) << 32 | (0xffffffffu - uint32_t(i));
    nan |= x != x;
    best = place > best ? place : best;
  }
  best = block_combine(best, warps, Place(0), [](Place v) {
    for (int offset = 16; offset > 0; offset /= 2) {
      const Place other = __shfl_xor_sync(0xffffffffu, v, offset);
      v = other > v ? other : v;
    }
    return v;
  });
  nan = __syncthreads_or(nan);
  if (threadIdx.x != 0) return;
  const int32_t id = int32_t(0xffffffffu - uint32_t(best));
  const bool good = !nan && isfinite(load_float(logits + id));
  if (!good) report(bad_row, row, V);
  ids[row] = good ? id : bad;
}

template <class E>
__global__ __launch_bounds__(256) void take_weights(const E* logits, int64_t V, int64_t count, const int32_t* ids,
                                                    double temperature, double* weights) {
  grid_stride(count, [&](int64_t i) {
    const int64_t row = i / V;
    if (ids[row] < 0) return;
    const double top = load_float(logits + row * V + ids[row]);
    weights[i] = exp((load_float(logits + i) - top) / temperature);
  });
}

// The first i of [begin, end) where `reached` plus the running sum of value(i) passes, or the last one with a value; `reached`
// becomes the sum before it. By one warp, 32 values at a time until they pass, and those one by one.
template <class Value, class Passes>
__device__ inline int64_t walk(int64_t begin, int64_t end, double& reached, const Value& value, const Passes& passes) {
  const int lane = threadIdx.x % kWarp;
  int64_t last = begin;
  double sum = reached;
  for (int64_t first = begin; first < end; first += kWarp) {
    const double own = first + lane < end ? value(first + lane) : 0, all = warp_sum(own);
    unsigned there = __ballot_sync(0xffffffffu, own > 0);
    if (there == 0) continue;
    reached = sum;
    last = first + 31 - __clz(int(there));
    if (!passes(sum + all)) {
      sum += all;
      continue;
    }
    for (; there; there &= there - 1) {
      const int from = __ffs(int(there)) - 1;
      reached = sum;
      last = first + from;
      sum += __shfl_sync(0xffffffffu, own, from);
      if (passes(sum)) return last;
    }
  }
  return last;
}

// What a block does with its row.
template <class E>
struct Row {
  const E* logits;
  const double* weights;
  int64_t V;
  double* memory;  // shared, kDigits · threads
  double* warps;   // shared, 33
  // Kept are tokens with a larger key, and of those with this key the ones up to this index.
  uint32_t last_key = 0;
  int64_t last_index = -1;

  __device__ bool keeps(int64_t i, uint32_t key) const { return key > last_key || (key == last_key && i <= last_index); }

  // For each chunk of the row, one for each thread at most, the sum of value(i), into `memory`. All threads get the total.
  template <class Value>
  __device__ double chunk_sums(int64_t chunk, const Value& value) const {
    const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
    const int64_t chunks = (V + chunk - 1) / chunk;
    __syncthreads();
    for (int64_t c = warp; c < chunks; c += blockDim.x / kWarp) {
      const int64_t begin = c * chunk, end = min(begin + chunk, V);
      double sum = 0;
#pragma unroll 4
      for (int64_t i = begin + lane; i < end; i += kWarp) sum += value(i);
      sum = warp_sum(sum);
      if (lane == 0) memory[c] = sum;
    }
    __syncthreads();
    return block_sum(threadIdx.x < chunks ? memory[threadIdx.x] : 0.0, warps);
  }

  // The index where passes(running sum of value(i), total) first holds, from `reached` on.
  template <class Value, class Passes>
  __device__ int64_t search(double reached, const Value& value, const Passes& passes) const {
    const int64_t chunk = (V + blockDim.x * kWarp - 1) / (blockDim.x * kWarp) * kWarp;
    const double total = chunk_sums(chunk, value);
    if (threadIdx.x < kWarp) {
      const auto far = [&](double sum) { return passes(sum, total); };
      const int64_t c = walk(0, (V + chunk - 1) / chunk, reached, [&](int64_t i) { return memory[i]; }, far);
      const int64_t at = walk(c * chunk, min(c * chunk + chunk, V), reached, value, far);
      if (threadIdx.x == 0) warps[0] = double(at);  // warps[32] may still be read, as the total
    }
    __syncthreads();
    const int64_t found = int64_t(warps[0]);
    __syncthreads();
    return found;
  }

  // Keeps, of what is kept, the fewest whose value(i) add up to `goal`; larger logits first, then lower indices. Equal logits
  // must have equal values.
  template <class Value>
  __device__ void cut(double goal, const Value& value) {
    constexpr int kLowest = sizeof(E) == 2 ? 16 : 0;  // the bits below are those of no logit, or all the same
    const int threads = blockDim.x;
    uint32_t found = 0, known = 0;
    double reached = 0;
    for (int shift = 32 - kDigitBits; shift >= kLowest; shift -= kDigitBits) {
      __syncthreads();
#pragma unroll
      for (int digit = 0; digit < kDigits; digit++) memory[digit * threads + threadIdx.x] = 0;
      for (int64_t first = threadIdx.x; first < V; first += 4 * threads) {
        uint32_t keys[4];
#pragma unroll
        for (int u = 0; u < 4; u++) keys[u] = first + u * threads < V ? key_of(load_float(logits + first + u * threads)) : 0;
#pragma unroll
        for (int u = 0; u < 4; u++) {
          const int64_t i = first + u * threads;
          if (i >= V || (keys[u] & known) != found || !keeps(i, keys[u])) continue;
          memory[int(keys[u] >> shift & (kDigits - 1)) * threads + threadIdx.x] += value(i);
        }
      }
      __syncthreads();
      // A thread adds 16 of a digit's sums, beginning at another one than its neighbours, who look at other digits: no two in
      // the same bank. Then one thread a digit adds those.
      double* const own = memory + int(threadIdx.x) % kDigits * threads;
      double* const part = own + int(threadIdx.x) / kDigits * kDigits;
      double sum = 0;
#pragma unroll
      for (int i = 0; i < kDigits; i++) sum += part[(i + threadIdx.x) % kDigits];
      part[0] = sum;
      __syncthreads();
      if (threadIdx.x < kDigits) {
        sum = 0;
        for (int i = 0; i < threads; i += kDigits) sum += own[i];
        warps[threadIdx.x] = sum;
      }
      __syncthreads();
      int last = kDigits - 1;  // the digit where the goal is reached; if rounding hides it, the lowest with a value
      double before = reached;
      for (int digit = kDigits - 1; digit >= 0; digit--) {
        if (!(warps[digit] > 0)) continue;
        last = digit;
        before = reached;
        reached += warps[digit];
        if (reached >= goal) break;
      }
      reached = before;
      found |= uint32_t(last) << shift;
      known |= uint32_t(kDigits - 1) << shift;
    }
    if (kLowest > 0 && found >> 31 == 0) found |= 0xffffu;  // a negative logit: the bits below were 0, and are turned round
    const auto equal = [&](int64_t i) {
      const uint32_t key = key_of(load_float(logits + i));
      return key == found && keeps(i, key) ? value(i) : 0.0;
    };
    last_index = search(reached, equal, [&](double sum, double) { return sum >= goal; });
    last_key = found;
  }
};

template <class E>
__global__ __launch_bounds__(kMostThreads, 1) void draw(const E* logits, const double* weights, int64_t V, int64_t first_row,
                                                        int64_t top_k, double top_p, uint64_t seed, uint64_t position,
                                                        int32_t* ids) {
  MW_SHARED(double, memory);
  __shared__ double warps[33];
  const int64_t at = blockIdx.x;
  const bool bad = ids[at] < 0;
  __syncthreads();  // before ids[at] is written
  if (bad) {
    if (threadIdx.x == 0) ids[at] = 0;
    return;
  }
  Row<E> row{logits + at * V, weights + at * V, V, memory, warps};
  const auto weigh = [&](int64_t i) { return row.weights[i]; };
  const auto kept = [&](int64_t i) { return row.keeps(i, key_of(load_float(row.logits + i))) ? row.weights[i] : 0.0; };
  if (top_k > 0 && top_k < V) row.cut(double(top_k), [](int64_t) { return 1.0; });
  if (top_p < 1) row.cut(top_p * row.chunk_sums((V + blockDim.x - 1) / blockDim.x, kept), weigh);
  const PhiloxBlock words = philox(seed, position, uint64_t(first_row + at));
  const double u = double((uint64_t(words.v[0] >> 5) << 26) + (words.v[1] >> 6)) * 0x1p-53;
  const int64_t id = row.search(0, kept, [&](double sum, double total) { return sum > u * total; });
  if (threadIdx.x == 0) ids[at] = int32_t(id);
}
}  // namespace

void sample(Exec& exec, In logits, Out ids, double temperature, int64_t top_k, double top_p, int64_t seed, int64_t position) {
  const int64_t V = logits.cols(), B = logits.rows();
  if (B == 0) return;
  const Report bad_row = exec.report("row %lld has NaN or no finite largest logit among its %lld");
  const auto threads = [&](int64_t most) { return int(std::min(most, pieces(V, 8 * kWarp) * kWarp)); };
  with_float_type(logits.dtype, [&](auto type) {
    using E = decltype(type);
    launch(exec, take_largest<E>, dim3(unsigned(B)), threads(1024), 0, logits.data<E>(), V, ids.data<int32_t>(),
           temperature == 0 ? 0 : -1, bad_row);
    if (temperature == 0) return;
    const int64_t most = std::clamp<int64_t>(kWeights / V, 1, std::min<int64_t>(B, 65535));
    double* const weights = exec.scratch<double>(most * V, kWeightSlot);
    for (int64_t first = 0; first < B; first += most) {
      const unsigned rows = unsigned(std::min(most, B - first));
      const E* const own = logits.data<E>() + first * V;
      int32_t* const drawn = ids.data<int32_t>() + first;
      launch(exec, take_weights<E>, blocks_for(exec, rows * V, 256), 256, 0, own, V, rows * V, drawn, temperature, weights);
      const int block = threads(kMostThreads);
      launch(exec, draw<E>, dim3(rows), block, int64_t(kDigits * sizeof(double)) * block, own, weights, V, first, top_k, top_p,
             uint64_t(seed), uint64_t(position), drawn);
    }
  });
}

}  // namespace mixwright::cuda
