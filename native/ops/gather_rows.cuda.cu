// Bytes moved: each row that is named, read and written once; scatter_add_rows reads its target too, and sorts the indices.
// gather_rows, scatter_rows: a warp owns 128 units of a row, a unit being the most that alignment allows, up to 16 bytes.
// scatter_add_rows: indices are sorted first, stably, so that equal ones are a run; a warp owns the runs that begin in a
// group of 16 sorted rows, in 128 columns, and adds them up in order.
#include "ops/gather_rows.h"

#include "cuda/quads.h"
#include "cuda/stable_sort.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256, kRunThreads = 128, kUnits = 4, kGroup = 16, kBatch = 8;
constexpr const char* kComplaint = "row %lld holds index %lld, the table has %lld rows";

template <class T>
__device__ inline void convert(T x, T& y) {
  y = x;
}
__device__ inline void convert(float x, bf16& y) { narrow(x, y); }
__device__ inline void convert(bf16 x, float& y) { y = widen(x); }

// The last row of those that name an index: -1 first, then the greatest.
__global__ void __launch_bounds__(kThreads) mark_last(const int32_t* rows, int64_t count, int64_t table, int32_t* last,
                                                      bool begin) {
  grid_stride(count, [&](int64_t i) {
    if (rows[i] < 0 || rows[i] >= table) return;
    if (begin) {
      last[rows[i]] = -1;
    } else {
      atomicMax(&last[rows[i]], int32_t(i));
    }
  });
}

// `last` null: no two rows meet.
template <bool kScatter, class X, class Y>
__global__ void __launch_bounds__(kThreads) move_rows(const X* x, const int32_t* rows, Y* y, int64_t count, int64_t width,
                                                      int64_t table, const int32_t* last, Report to) {
  const uint32_t warp = warp_of_grid(), parts = uint32_t((width + kUnits * kWarp - 1) / (kUnits * kWarp)), part = warp % parts;
  const int64_t i = warp / parts;
  if (i >= count) return;
  const int32_t row = rows[i];
  const int lane = threadIdx.x % kWarp;
  if (row < 0 || row >= table) {
    if (lane == 0 && part == 0) report(to, i, row, table);
    return;
  }
  if (kScatter && last && last[row] != i) return;
  const X* const from = x + (kScatter ? i : row) * width;
  Y* const target = y + (kScatter ? row : i) * width;
  const int64_t column = int64_t(part) * (kUnits * kWarp) + lane;
  X units[kUnits];
#pragma unroll
  for (int j = 0; j < kUnits; j++) {
    if (column + j * kWarp < width) units[j] = from[column + j * kWarp];
  }
#pragma unroll
  for (int j = 0; j < kUnits; j++) {
    if (column + j * kWarp < width) convert(units[j], target[column + j * kWarp]);
  }
}

template <bool kScatter, class X, class Y>
void move_as(Exec& exec, In x, In rows, Out y, int64_t width, int64_t table, const int32_t* last) {
  const int64_t warps = rows.size() * pieces(width, kUnits * kWarp);
  launch(exec, move_rows<kScatter, X, Y>, dim3(unsigned(pieces(warps, kThreads / kWarp))), kThreads, 0, x.data<X>(),
         rows.data<int32_t>(), y.data<Y>(), rows.size(), width, table, last, exec.report(kComplaint));
}

template <bool kScatter>
void move(Exec& exec, In x, In rows, Out y, const int32_t* last) {
  const int64_t width = (kScatter ? x.size() : y.size()) / rows.size(), table = (kScatter ? y.size() : x.size()) / width;
  if (x.dtype != y.dtype) {
    if (x.dtype == DType::f32) return move_as<kScatter, float, bf16>(exec, x, rows, y, width, table, last);
    return move_as<kScatter, bf16, float>(exec, x, rows, y, width, table, last);
  }
  const int64_t bytes = width * bytes_of(x.dtype);
  const uint64_t apart = reinterpret_cast<uintptr_t>(x.memory) | reinterpret_cast<uintptr_t>(y.memory) | uint64_t(bytes);
  if (apart % 16 == 0) return move_as<kScatter, uint4, uint4>(exec, x, rows, y, bytes / 16, table, last);
  if (apart % 4 == 0) return move_as<kScatter, uint32_t, uint32_t>(exec, x, rows, y, bytes / 4, table, last);
  move_as<kScatter, uint16_t, uint16_t>(exec, x, rows, y, bytes / 2, table, last);
}

__device__ inline float as_stored(float x, float) { return x; }
__device__ inline float as_stored(float x, bf16 stored) {
  narrow(x, stored);
  return widen(stored);
}

// y[keys[p]] += x[order[p]], p in order; keys are sorted, those of `table` name no row.
template <bool kNeighbours, class X, class Y>
__global__ void __launch_bounds__(kRunThreads) add_runs(const X* x, const int32_t* keys, const int32_t* order, int64_t count,
                                                        Y* y, int64_t width, int64_t table) {
  const uint32_t warp = warp_of_grid(), tiles = uint32_t((width + kQuadColumns - 1) / kQuadColumns);
  const int64_t begin = int64_t(warp / tiles) * kGroup, group_end = begin + kGroup;
  const int64_t column = quad_column<kNeighbours>(int64_t(warp % tiles) * kQuadColumns);
  const int lane = threadIdx.x % kWarp;
  if (begin >= count) return;
  const int64_t own = begin + lane;
  const unsigned first = __ballot_sync(0xffffffffu, lane < kGroup && own < count && (own == 0 || keys[own] != keys[own - 1]));
  if (first == 0) return;

  int64_t p = begin + __ffs(int(first)) - 1;
  int32_t key = p + lane < count ? keys[p + lane] : -1, row = p + lane < count ? order[p + lane] : 0, key_before = -1;
  float sum[4];
  while (true) {
    const int64_t next = p + kBatch + lane;  // fetched early: a long run waits for nothing but its rows
    const int32_t next_key = next < count ? keys[next] : -1, next_row = next < count ? order[next] : 0;
    const int32_t left = __shfl_up_sync(0xffffffffu, key, 1);
    const bool head = key != (lane == 0 ? key_before : left);
    const unsigned heads = __ballot_sync(0xffffffffu, head);
    const unsigned stops = __ballot_sync(0xffffffffu, key < 0 || (head && p + lane >= group_end));
    const int todo = stops ? min(__ffs(int(stops)) - 1, kBatch) : kBatch;
    float add[kBatch][4], old[kBatch][4];
#pragma unroll
    for (int b = 0; b < kBatch; b++) {
      const int32_t to = __shfl_sync(0xffffffffu, key, b), from = __shfl_sync(0xffffffffu, row, b);
      if (b >= todo || to >= table) continue;
      load_quad<kNeighbours>(x + from * width, column, width, add[b]);
      if (heads >> b & 1) load_quad<kNeighbours>(y + to * width, column, width, old[b]);
    }
#pragma unroll
    for (int b = 0; b < kBatch; b++) {
      const int32_t to = __shfl_sync(0xffffffffu, key, b);
      if (b >= todo || to >= table) continue;
      for (int j = 0; j < 4; j++) sum[j] = as_stored((heads >> b & 1 ? old[b][j] : sum[j]) + add[b][j], Y{});
      if (heads >> (b + 1) & 1) store_quad<kNeighbours>(y + to * width, column, width, sum);
    }
    if (stops & ((2u << kBatch) - 1)) return;
    key_before = __shfl_sync(0xffffffffu, key, kBatch - 1);
    p += kBatch;
    key = next_key;
    row = next_row;
  }
}
}  // namespace

void gather_rows(Exec& exec, In x, In rows, Out y) {
  if (y.size() > 0) move<false>(exec, x, rows, y, nullptr);
}

void scatter_rows(Exec& exec, In x, In rows, Out y) {
  const int64_t N = rows.size();
  if (x.size() == 0) return;
  int32_t* last = nullptr;
  if (N > 1) {
    const int64_t table = y.size() / (x.size() / N);
    last = exec.scratch<int32_t>(table, 0);
    for (bool begin : {true, false}) {
      launch(exec, mark_last, blocks_for(exec, N, kThreads), kThreads, 0, rows.data<int32_t>(), N, table, last, begin);
    }
  }
  move<true>(exec, x, rows, y, last);
}

void scatter_add_rows(Exec& exec, In x, In rows, Out y, bool accumulate) {
  const int64_t N = rows.size();
  if (!accumulate && y.size() > 0) exec.fill(y.memory, 0, y.bytes());
  if (x.size() == 0) return;
  const int64_t width = x.size() / N, table = y.size() / width;
  const Sorted sorted = stable_sort(exec, rows.data<int32_t>(), N, table, table, kComplaint, nullptr);
  const int64_t warps = pieces(N, kGroup) * pieces(width, kQuadColumns);
  with_float_type(x.dtype, [&](auto x_type) {
    with_float_type(y.dtype, [&](auto y_type) {
      using X = decltype(x_type);
      using Y = decltype(y_type);
      launch(exec, by_fours(width, x, y) ? add_runs<true, X, Y> : add_runs<false, X, Y>,
             dim3(unsigned(pieces(warps, kRunThreads / kWarp))), kRunThreads, 0, x.data<X>(), sorted.keys, sorted.order, N,
             y.data<Y>(), width, table);
    });
  });
}

}  // namespace mixwright::cuda
