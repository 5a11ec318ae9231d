// Bytes moved: the losses read 4·T·E a layer, a gradient 8·T·E. A block owns 128 rows of one layer and a slot for their sums,
// in double; slots are added in a fixed order. In the gradients a warp owns a row.
#include "ops/router_loss.h"

#include "cuda/launch.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256, kWarps = kThreads / kWarp, kRows = 128;

// Sums over one block's rows: counts, sums [L·blocks][E].
__global__ void __launch_bounds__(kThreads) sum_rows(const float* const* probs, const int32_t* const* experts, int64_t T,
                                                     int64_t K, int E, unsigned blocks, int32_t* counts, double* sums,
                                                     Report to) {
  MW_SHARED(int32_t, bins);
  __shared__ double parts[kWarps][kWarp];
  const float* const prob = probs[blockIdx.x / blocks];
  const int32_t* const chosen = experts[blockIdx.x / blocks];
  const int64_t begin = int64_t(blockIdx.x % blocks) * kRows, end = min(begin + kRows, T);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int e = threadIdx.x; e < E; e += kThreads) bins[e] = 0;
  __syncthreads();
  for (int64_t slot = begin * K + threadIdx.x; slot < end * K; slot += kThreads) {
    const int32_t e = chosen[slot];
    if (e < 0 || e >= E) {
      report(to, slot / K, e, E);
    } else {
      atomicAdd(&bins[e], 1);
    }
  }
  for (int first = 0; first < E; first += kWarp) {
    const int e = first + lane;
    double sum = 0;
    if (e < E) {
#pragma unroll 4
      for (int64_t t = begin + warp; t < end; t += kWarps) sum += prob[t * E + e];
    }
    parts[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && e < E) {
      for (int w = 1; w < kWarps; w++) sum += parts[w][lane];
      sums[int64_t(blockIdx.x) * E + e] = sum;
    }
    __syncthreads();
  }
  for (int e = threadIdx.x; e < E; e += kThreads) counts[int64_t(blockIdx.x) * E + e] = bins[e];
}

// totals [2][L][E]: the counts and sums of a layer's blocks.
__global__ void __launch_bounds__(kThreads) sum_blocks(const int32_t* counts, const double* sums, int64_t L, int64_t E,
                                                       int64_t blocks, double* totals) {
  grid_stride(L * E, [&](int64_t i) {
    const int64_t first = i / E * blocks * E + i % E;
    double sum = 0;
    int64_t count = 0;
#pragma unroll 8
    for (int64_t block = 0; block < blocks; block++) {
      count += counts[first + block * E];
      sum += sums[first + block * E];
    }
    totals[i] = double(count);
    totals[L * E + i] = sum;
  });
}

// A group is what is balanced as one: all layers together, or each. Its share of the loss is
// scale · Σ_e counts_e · sums_e, so that the slope is scale · counts_e.
__global__ void __launch_bounds__(kThreads) balance(const double* totals, int64_t groups, int64_t layers, int64_t E,
                                                    double scale, float* loss, float* slope) {
  __shared__ double warps[33];
  double value = 0;
  for (int64_t i = threadIdx.x; i < groups * E; i += kThreads) {
    const int64_t first = i / E * layers * E + i % E;
    double count = 0, sum = 0;
    for (int64_t l = 0; l < layers; l++) {
      count += totals[first + l * E];
      sum += totals[(groups * layers + l) * E + first];
    }
    value += scale * count * sum;
    for (int64_t l = 0; l < layers; l++) slope[first + l * E] = float(scale * count);
  }
  value = block_sum(value, warps);
  if (threadIdx.x == 0) *loss = float(value);
}

__global__ void __launch_bounds__(kThreads) balance_grad(const float* dloss, const float* probs, const float* slope,
                                                         float* dlogits, int64_t T, int E, bool accumulate) {
  const int64_t t = (int64_t(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (t >= T) return;
  const float* const prob = probs + t * E;
  float* const out = dlogits + t * E;
  float dot = 0;
  for (int e = lane; e < E; e += kWarp) dot += prob[e] * slope[e];
  const float mean = warp_sum(dot), d = *dloss;
  for (int e = lane; e < E; e += kWarp) {
    const float g = d * prob[e] * (slope[e] - mean);
    out[e] = accumulate ? out[e] + g : g;
  }
}

struct Exponentials {
  float most, sum;  // of a row: Σ e^(x - most)
};
__device__ inline Exponentials exponentials(const float* row, int E) {
  float most = -INFINITY, sum = 0;
  for (int e = threadIdx.x % kWarp; e < E; e += kWarp) most = fmaxf(most, row[e]);
  most = warp_max(most);
  for (int e = threadIdx.x % kWarp; e < E; e += kWarp) sum += expf(row[e] - most);
  return {most, warp_sum(sum)};
}

__global__ void __launch_bounds__(kThreads) sum_z(const float* const* logits, int64_t T, int E, unsigned blocks, double* sums) {
  __shared__ double warps[33];
  const float* const rows = logits[blockIdx.x / blocks];
  const int64_t begin = int64_t(blockIdx.x % blocks) * kRows, end = min(begin + kRows, T);
  double sum = 0;
  for (int64_t t = begin + threadIdx.x / kWarp; t < end; t += kWarps) {
    const Exponentials of = exponentials(rows + t * E, E);
    const double z = of.most + logf(of.sum);
    sum += z * z;
  }
  sum = block_sum(threadIdx.x % kWarp == 0 ? sum : 0.0, warps);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads) mean_z(const double* sums, int64_t count, double rows, float* loss) {
  __shared__ double warps[33];
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) sum += sums[i];
  sum = block_sum(sum, warps);
  if (threadIdx.x == 0) *loss = rows > 0 ? float(sum / rows) : 0.0f;
}

__global__ void __launch_bounds__(kThreads) z_grad(const float* dloss, const float* logits, float* dlogits, int64_t T, int E,
                                                   float scale, bool accumulate) {
  const int64_t t = (int64_t(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  if (t >= T) return;
  const float* const row = logits + t * E;
  float* const out = dlogits + t * E;
  const Exponentials of = exponentials(row, E);
  const float factor = *dloss * scale * 2.0f * (of.most + logf(of.sum)) / of.sum;
  for (int e = threadIdx.x % kWarp; e < E; e += kWarp) {
    const float g = factor * expf(row[e] - of.most);
    out[e] = accumulate ? out[e] + g : g;
  }
}

template <class T>
const T* const* pointers(Exec& exec, InList tensors, int slot) {
  std::vector<const T*> list;
  for (const In& x : tensors) list.push_back(x.data<T>());
  return exec.upload(list, slot);
}

dim3 warps_for(int64_t T) { return dim3(unsigned(pieces(T, kWarps))); }
}  // namespace

void load_balancing_loss(Exec& exec, InList probs, InList experts, Out loss, Out slope, bool pooled) {
  const int64_t L = int64_t(probs.size()), E = slope.cols();
  const int64_t T = L == 0 ? 0 : probs[0].rows(), K = L == 0 ? 0 : experts[0].cols();
  const int64_t blocks = pieces(T, kRows), groups = pooled ? 1 : L, layers = pooled ? L : 1;
  const double rows = double(T) * double(layers);
  const double scale = T == 0 ? 0 : double(E) / (rows * rows) / (pooled ? 1.0 : double(K) * double(L));
  int32_t* const counts = exec.scratch<int32_t>(L * blocks * E, 0);
  double *const sums = exec.scratch<double>(L * blocks * E, 1), *const totals = exec.scratch<double>(2 * L * E, 2);
  launch(exec, sum_rows, dim3(unsigned(L * blocks)), kThreads, E * 4, pointers<float>(exec, probs, 3),
         pointers<int32_t>(exec, experts, 4), T, K, int(E), unsigned(blocks), counts, sums,
         exec.report("row %lld chose expert %lld of %lld"));
  launch(exec, sum_blocks, blocks_for(exec, L * E, kWarp), kWarp, 0, counts, sums, L, E, blocks, totals);
  launch(exec, balance, dim3(1), kThreads, 0, totals, groups, layers, E, scale, loss.data<float>(), slope.data<float>());
}

void load_balancing_loss_grad(Exec& exec, In dloss, In probs, In slope, Out dlogits, bool accumulate) {
  launch(exec, balance_grad, warps_for(probs.rows()), kThreads, 0, dloss.data<float>(), probs.data<float>(),
         slope.data<float>(), dlogits.data<float>(), probs.rows(), int(probs.cols()), accumulate);
}

void router_z_loss(Exec& exec, InList logits, Out loss) {
  const int64_t L = int64_t(logits.size());
  const int64_t T = L == 0 ? 0 : logits[0].rows(), E = L == 0 ? 0 : logits[0].cols(), blocks = pieces(T, kRows);
  double* const sums = exec.scratch<double>(L * blocks, 0);
  launch(exec, sum_z, dim3(unsigned(L * blocks)), kThreads, 0, pointers<float>(exec, logits, 1), T, int(E),
         unsigned(blocks), sums);
  launch(exec, mean_z, dim3(1), kThreads, 0, sums, L * blocks, double(L) * double(T), loss.data<float>());
}

void router_z_loss_grad(Exec& exec, In dloss, In logits, Out dlogits, float scale, bool accumulate) {
  launch(exec, z_grad, warps_for(logits.rows()), kThreads, 0, dloss.data<float>(), logits.data<float>(), dlogits.data<float>(),
         logits.rows(), int(logits.cols()), scale, accumulate);
}

}  // namespace mixwright::cuda
