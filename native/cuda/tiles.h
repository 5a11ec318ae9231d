// Which block of a launch computes which tile: plain functions, so that a test can walk them without a device
// (test/native/cuda/tile_walker_test.cc).
#pragma once
#include <cstdint>

#include "core/dtype.h"

namespace mixwright::cuda {

MW_ANYWHERE static inline int64_t at_most(int64_t size, int64_t left) { return left < size ? left : size; }

// Tiles of `size` that `count` rows take.
MW_ANYWHERE static inline int64_t tiles_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

// At most so many row tiles do R rows of E groups take together, however they are shared out: all a launch can know.
MW_ANYWHERE static inline int64_t most_group_tiles(int64_t R, int64_t E, int64_t size) {
  return (R + at_most(E, R) * (size - 1)) / size;
}

struct TilePlace {
  int64_t row, col;  // which row and column of tiles
};

// The order of tiles: bands of kBand rows of tiles, and a band column by column, so that the blocks that run at the same time
// share their rows and columns in L2.
constexpr int64_t kBand = 8;
MW_ANYWHERE static inline TilePlace tile_place(int64_t index, int64_t row_tiles, int64_t col_tiles) {
  const int64_t band = index / (kBand * col_tiles), within = index - band * kBand * col_tiles;
  const int64_t height = at_most(kBand, row_tiles - band * kBand);
  return {band * kBand + within % height, within / height};
}

struct GroupTile {
  int64_t group, row, rows;  // row: the first one, counted over all groups
};

// The row tile `index` of groups whose rows are offsets[e] … offsets[e + 1] - 1 and whose tiles begin at first_tile[e];
// `index` is below first_tile[E]. Groups without rows have no tile.
MW_ANYWHERE static inline GroupTile group_tile(const int32_t* first_tile, const int32_t* offsets, int64_t E, int64_t index,
                                               int64_t size) {
  int64_t low = 0, high = E;  // first_tile[low] <= index < first_tile[high]
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (first_tile[middle] <= index) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const int64_t row = offsets[low] + (index - first_tile[low]) * size;
  return {low, row, at_most(size, offsets[low + 1] - row)};
}

}  // namespace mixwright::cuda
