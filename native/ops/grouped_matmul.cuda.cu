// R·N·K multiply-adds on the matrix core (cuda/gemm.h). The tiles of all experts are shared out together: a block owns one of
// y, or of one dW_e, up to 128 × 128, and reads its rows and columns of the operands once. How many there are only the device
// knows: blocks are launched for the most that R rows of E experts can take, those left over end at once. check_kernel looks at
// offsets and rows first; after a bad one, nothing outside is touched.
#include "ops/grouped_matmul.h"

#include "cuda/gemm.h"

namespace mixwright::cuda {

namespace {
constexpr int kCheckThreads = 1024;

struct Groups {
  const int32_t *offsets, *first_tile;  // [E + 1] each
};

// Block 0 copies offsets that cut [0, R) into pieces, in order; others are reported, and then no expert has rows. And it counts
// the experts' tiles. The other blocks look at `rows`.
__global__ __launch_bounds__(kCheckThreads) void check_kernel(const int32_t* offsets, int64_t E, int64_t R, const int32_t* rows,
                                                              int64_t table, int64_t tile_rows, int32_t* clean,
                                                              int32_t* first_tile, Report bad_offset, Report bad_row) {
  const int thread = int(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  if (blockIdx.x > 0) {
    for (int64_t i = int64_t(blockIdx.x - 1) * kCheckThreads + thread; i < R; i += int64_t(gridDim.x - 1) * kCheckThreads) {
      if (rows[i] < 0 || rows[i] >= table) report(bad_row, i, rows[i], table);
    }
    return;
  }
  __shared__ int32_t first_bad, warps[kCheckThreads / kWarp];
  if (thread == 0) first_bad = INT32_MAX;
  __syncthreads();
  for (int64_t e = thread; e <= E; e += kCheckThreads) {
    const int64_t low = e == 0 ? 0 : offsets[e - 1], high = e == 0 ? 0 : R;
    if (offsets[e] < low || offsets[e] > high || (e == E && offsets[e] != R)) atomicMin(&first_bad, int32_t(e));
  }
  __syncthreads();
  const bool bad = first_bad != INT32_MAX;
  if (bad && thread == 0) report(bad_offset, first_bad, offsets[first_bad], R);
  int32_t before = 0;
  for (int64_t begin = 0; begin <= E; begin += kCheckThreads) {
    const int64_t e = begin + thread;
    int32_t sum = e < E && !bad ? int32_t(tiles_of(offsets[e + 1] - offsets[e], tile_rows)) : 0;
    const int32_t own = sum;
    for (int by = 1; by < kWarp; by *= 2) {
      const int32_t other = __shfl_up_sync(0xffffffffu, sum, unsigned(by));
      if (lane >= by) sum += other;
    }
    if (lane == kWarp - 1) warps[warp] = sum;
    __syncthreads();
    int32_t total = 0;
    for (int w = 0; w < kCheckThreads / kWarp; w++) {
      if (w < warp) sum += warps[w];
      total += warps[w];
    }
    if (e <= E) {
      clean[e] = bad ? 0 : offsets[e];
      first_tile[e] = before + sum - own;
    }
    before += total;
    __syncthreads();
  }
}

// What the experts' rows are, checked on the device. `table`: rows of x.
Groups checked_groups(Exec& exec, const In& offsets, const In& rows, int64_t table, int64_t E, int64_t R, int64_t tile_rows) {
  require(offsets.size() == E + 1, "offsets needs one entry more than there are experts");
  require(rows ? rows.size() == R : table >= R, rows ? "rows does not fit the sorted rows" : "x has too few rows");
  int32_t *const clean = exec.scratch<int32_t>(E + 1, 1), *const first_tile = exec.scratch<int32_t>(E + 1, 2);
  const int64_t looks = rows ? std::min<int64_t>(pieces(R, 4 * kCheckThreads), 64) : 0;
  launch(exec, check_kernel, dim3(unsigned(1 + looks)), kCheckThreads, 0, offsets.data<int32_t>(), E, R, rows.data<int32_t>(),
         table, tile_rows, clean, first_tile, exec.report("offset %lld is %lld, there are %lld sorted rows"),
         exec.report("row %lld holds index %lld, the table has %lld rows"));
  return {clean, first_tile};
}

struct ExpertTasks {
  Groups groups;
  int64_t E, N, K, col_tiles, weight_rows;  // weight_rows: in memory, of one expert

  __device__ bool operator()(int64_t index, int rows, int cols, Task& task) const {
    const int64_t row_tiles = groups.first_tile[E];
    if (index >= row_tiles * col_tiles) return false;
    const TilePlace place = tile_place(index, row_tiles, col_tiles);
    const GroupTile tile = group_tile(groups.first_tile, groups.offsets, E, place.row, rows);
    const int64_t j = place.col * cols;
    task = {0, tile.row, tile.rows, j, at_most(cols, N - j), 0, tile.group * weight_rows, 0, K};
    return true;
  }
};

struct GradTasks {
  const int32_t* offsets;
  int64_t N, K, row_tiles, col_tiles;
  bool accumulate;

  __device__ bool operator()(int64_t index, int rows, int cols, Task& task) const {
    const int64_t e = index / (row_tiles * col_tiles), first = offsets[e], count = offsets[e + 1] - first;
    if (count == 0 && accumulate) return false;
    const TilePlace place = tile_place(index - e * row_tiles * col_tiles, row_tiles, col_tiles);
    const int64_t i = place.row * rows, j = place.col * cols;
    task = {e, i, at_most(rows, N - i), j, at_most(cols, K - j), first, first, 0, count};
    return true;
  }
};
}  // namespace

void grouped_matmul(Exec& exec, In x, In weight, In offsets, In rows, Out y, bool transpose_weight, float alpha,
                    bool accumulate) {
  if (y.size() == 0) return;
  const int64_t E = weight.dim[0], R = y.rows(), N = y.cols(), K = x.cols();
  require(weight.size() == E * N * K, "operands do not fit each other");
  const Side left = side_of(x, K, true, rows.data<int32_t>(), x.rows());
  const Side right = side_of(weight, transpose_weight ? K : N, transpose_weight);
  with_tile(E == 0 ? 0 : pieces(R, E), N, E, [&](auto tile_rows, auto tile_cols) {
    constexpr int kRows = decltype(tile_rows)::value, kCols = decltype(tile_cols)::value, kLeftAlongK = 12;
    const Groups groups = checked_groups(exec, offsets, rows, K == 0 && !rows ? R : x.rows(), E, R, kRows);
    const ExpertTasks tasks{groups, E, N, K, pieces(N, kCols), transpose_weight ? N : K};
    multiply_tiles<kRows, kCols, kLeftAlongK>(exec, left, right, most_group_tiles(R, E, kRows) * tasks.col_tiles, tasks,
                                              Store::to(y, N, 0, alpha, accumulate));
  });
}

void grouped_matmul_weight_grad(Exec& exec, In dy, In x, In offsets, In rows, Out dweight, float alpha, bool accumulate) {
  if (dweight.size() == 0) return;
  const int64_t E = dweight.dim[0], N = dweight.dim[1], K = dweight.dim[2], R = dy.rows();
  require(dy.cols() == N && x.cols() == K, "operands do not fit each other");
  const Groups groups = checked_groups(exec, offsets, rows, x.rows(), E, R, 128);
  const Side left = side_of(dy, N, false), right = side_of(x, K, false, rows.data<int32_t>(), x.rows());
  with_tile(N, K, E, [&](auto tile_rows, auto tile_cols) {
    constexpr int kRows = decltype(tile_rows)::value, kCols = decltype(tile_cols)::value, kNoneAlongK = 1;
    const GradTasks tasks{groups.offsets, N, K, pieces(N, kRows), pieces(K, kCols), accumulate};
    multiply_tiles<kRows, kCols, kNoneAlongK>(exec, left, right, E * tasks.row_tiles * tasks.col_tiles, tasks,
                                              Store::to(dweight, K, N * K, alpha, accumulate));
  });
}

}  // namespace mixwright::cuda
