// R·N·K multiply-adds on the matrix core (cpu/gemm.h); a weight is read once for each 256 or 512 rows of its expert, experts
// without rows not at all. The tiles of all experts are shared out together; a task owns one tile of y, or of one dW_e.
#include "ops/grouped_matmul.h"

#include <string>
#include <vector>

#include "cpu/gemm.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kPastCaches = 16 << 20;  // bytes of a gradient that nobody will find in a cache

struct Rows {
  int64_t expert, begin, count;
};

// offsets[e + 1], after a look at all of them: they cut [0, R) into pieces, in order.
const int32_t* checked_offsets(const In& offsets, int64_t E, int64_t R) {
  require(offsets.size() == E + 1, "offsets needs one entry more than there are experts");
  const int32_t* const offset = offsets.data<int32_t>();
  for (int64_t e = 0; e <= E; e++) {
    const int64_t low = e == 0 ? 0 : offset[e - 1], high = e == 0 ? 0 : R;
    if (offset[e] < low || offset[e] > high || (e == E && offset[e] != R)) {
      throw KernelError("offset " + std::to_string(e) + " is " + std::to_string(offset[e]) + ", there are " +
                        std::to_string(R) + " sorted rows");
    }
  }
  return offset;
}

const int32_t* checked_rows(const In& rows, const In& x, int64_t R) {
  if (!rows) {
    require(x.rows() >= R || x.cols() == 0, "x has too few rows");
    return nullptr;
  }
  require(rows.size() == R, "rows does not fit the sorted rows");
  const int32_t* const row = rows.data<int32_t>();
  for (int64_t i = 0; i < R; i++) {
    if (row[i] < 0 || row[i] >= x.rows()) {
      throw KernelError("row " + std::to_string(i) + " holds index " + std::to_string(row[i]) + ", the table has " +
                        std::to_string(x.rows()) + " rows");
    }
  }
  return row;
}

// A tile packs both its sides: the more of the product it covers, the better. Packed rows and sums take two thirds of L2.
int64_t most_rows() { return l2_bytes() < (1 << 20) ? 256 : 512; }
int64_t most_sums() { return 256 * most_rows(); }

// Columns of tiles that have `rows` rows on average: not under 64 where larger ones would leave less than 16 tiles.
int64_t tile_cols(int64_t cols, int64_t row_tiles, int64_t rows) {
  int64_t size = even_piece(cols, std::clamp<int64_t>(most_sums() / std::max<int64_t>(rows, 1), 256, 1024), kPanel);
  while (row_tiles * pieces(cols, size) < 16 && size > 64) size = even_piece(size, size - 1, kPanel);
  return size;
}
}  // namespace

void grouped_matmul(Exec& exec, In x, In weight, In offsets, In rows, Out y, bool transpose_weight, float alpha,
                    bool accumulate) {
  if (y.size() == 0) return;
  const int64_t E = weight.dim[0], R = y.rows(), out_cols = y.cols(), K = x.cols();
  require(weight.size() == E * out_cols * K, "operands do not fit each other");
  const int32_t* const offset = checked_offsets(offsets, E, R);
  const Operand left{x.memory, x.dtype, K, true, checked_rows(rows, x, R)};
  std::vector<Rows> tiles;
  for (int64_t e = 0; e < E; e++) {
    const int64_t count = offset[e + 1] - offset[e], size = even_piece(count, most_rows(), kBlockRows);
    for (int64_t i = 0; i < count; i += size) tiles.push_back({e, offset[e] + i, std::min(size, count - i)});
  }
  const int64_t row_tiles = int64_t(tiles.size());
  const int64_t cols = tile_cols(out_cols, row_tiles, row_tiles == 0 ? 0 : R / row_tiles), col_tiles = pieces(out_cols, cols);
  const Operand all{weight.memory, weight.dtype, transpose_weight ? K : out_cols, transpose_weight};
  exec.parallel(row_tiles * col_tiles, [&](int64_t task, Worker& worker) {
    const Rows& own = tiles[size_t(task / col_tiles)];
    const Operand right = all.from(own.expert * (transpose_weight ? out_cols : K));
    const int64_t col = task % col_tiles * cols;
    const Tile tile{own.begin, own.count, col, std::min(cols, out_cols - col)};
    gemm_tile(left, right, Packed{}, tile, K, worker.scratch<float>(tile_scratch(tile.rows, tile.cols)),
              Store{y.memory, y.dtype, out_cols, alpha, accumulate});
  });
}

void grouped_matmul_weight_grad(Exec& exec, In dy, In x, In offsets, In rows, Out dweight, float alpha, bool accumulate) {
  if (dweight.size() == 0) return;
  const int64_t E = dweight.dim[0], N = dweight.dim[1], K = dweight.dim[2], R = dy.rows();
  require(dy.cols() == N && x.cols() == K, "operands do not fit each other");
  const int32_t* const offset = checked_offsets(offsets, E, R);
  const Operand left{dy.memory, dy.dtype, N, false}, right{x.memory, x.dtype, K, false, checked_rows(rows, x, R)};
  const int64_t tile_rows = even_piece(N, most_rows(), kBlockRows), row_tiles = pieces(N, tile_rows);
  const int64_t cols = tile_cols(K, E * row_tiles, tile_rows), col_tiles = pieces(K, cols);
  exec.parallel(E * row_tiles * col_tiles, [&](int64_t task, Worker& worker) {
    const int64_t e = task / (row_tiles * col_tiles), count = offset[e + 1] - offset[e];
    if (count == 0 && accumulate) return;
    const int64_t i = task / col_tiles % row_tiles * tile_rows, j = task % col_tiles * cols;
    const Tile tile{i, std::min(tile_rows, N - i), j, std::min(cols, K - j)};
    gemm_tile(left.from(offset[e]), right.from(offset[e]), Packed{}, tile, count,
              worker.scratch<float>(tile_scratch(tile.rows, tile.cols)),
              Store{dweight.data<char>() + e * N * K * bytes_of(dweight.dtype), dweight.dtype, K, alpha, accumulate, nullptr,
                    dweight.bytes() > kPastCaches});
    after_streams();
  });
}

}  // namespace mixwright::cpu::MW_ISA
