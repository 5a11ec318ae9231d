// Walks the tiles of native/cuda/tiles.h without a device: each row of each group, and each tile of C, belongs to exactly one.
//   g++ -std=c++17 -Wall -Wextra -Werror -Inative test/native/cuda/tile_walker_test.cc -o build/tile_walker_test
#include "cuda/tiles.h"

#include <cstdio>
#include <vector>

using namespace mixwright::cuda;

namespace {
int failures = 0;

void expect(bool ok, const char* what, const char* title, int64_t at) {
  if (ok) return;
  if (failures++ < 20) std::fprintf(stderr, "%s: %s, at %lld\n", title, what, static_cast<long long>(at));
}

void check_groups(const char* title, const std::vector<int32_t>& counts, int64_t size) {
  const int64_t E = int64_t(counts.size());
  std::vector<int32_t> offsets{0}, first_tile{0};
  for (const int32_t count : counts) {
    offsets.push_back(offsets.back() + count);
    first_tile.push_back(first_tile.back() + int32_t(tiles_of(count, size)));
  }
  const int64_t R = offsets.back(), tiles = first_tile.back();
  expect(tiles <= most_group_tiles(R, E, size), "more tiles than the launch has blocks for", title, tiles);
  std::vector<int> seen(size_t(R), 0);
  for (int64_t t = 0; t < tiles; t++) {
    const GroupTile tile = group_tile(first_tile.data(), offsets.data(), E, t, size);
    const bool within = tile.group >= 0 && tile.group < E && tile.rows > 0 && tile.rows <= size &&
                        tile.row >= offsets[size_t(tile.group)] && tile.row + tile.rows <= offsets[size_t(tile.group) + 1];
    expect(within, "a tile that isn't within its group", title, t);
    if (!within) continue;
    expect((tile.row - offsets[size_t(tile.group)]) % size == 0, "a tile that begins within another", title, t);
    for (int64_t i = 0; i < tile.rows; i++) seen[size_t(tile.row + i)]++;
  }
  for (int64_t i = 0; i < R; i++) expect(seen[size_t(i)] == 1, "a row without a tile, or with several", title, i);
}

void check_places(int64_t row_tiles, int64_t col_tiles) {
  std::vector<int> seen(size_t(row_tiles * col_tiles), 0);
  for (int64_t index = 0; index < row_tiles * col_tiles; index++) {
    const TilePlace place = tile_place(index, row_tiles, col_tiles);
    const bool within = place.row >= 0 && place.row < row_tiles && place.col >= 0 && place.col < col_tiles;
    expect(within, "a tile outside", "places", index);
    if (within) seen[size_t(place.row * col_tiles + place.col)]++;
  }
  for (size_t i = 0; i < seen.size(); i++) expect(seen[i] == 1, "a tile nobody computes, or several", "places", int64_t(i));
}
}  // namespace

int main() {
  for (const int64_t size : {16, 64, 128}) {
    check_groups("no groups", {}, size);
    check_groups("no rows", {0, 0, 0}, size);
    check_groups("one row", {1}, size);
    check_groups("one huge group", {100000}, size);
    check_groups("one huge group among empty ones", {0, 0, 70001, 0}, size);
    check_groups("empty first, last and in between", {0, 5, 0, 0, 300, 0}, size);
    check_groups("whole tiles", {128, 256, 128}, size);
    check_groups("tails of one row, and of all but one", {129, 127, 1, 255, 257, 65, 63, 17, 15}, size);
    check_groups("a row a group", std::vector<int32_t>(300, 1), size);
    uint32_t state = 1;
    for (int round = 0; round < 200; round++) {
      std::vector<int32_t> counts;
      const auto next = [&state](uint32_t below) {
        state = state * 1664525u + 1013904223u;
        return int32_t((state >> 8) % below);
      };
      for (int e = next(40); e >= 0; e--) counts.push_back(next(3) == 0 ? 0 : next(500));
      check_groups("random", counts, size);
    }
  }
  for (const int64_t rows : {1, 2, 7, 8, 9, 16, 23, 100}) {
    for (const int64_t cols : {1, 2, 8, 13}) check_places(rows, cols);
  }
  if (failures == 0) std::puts("tile walker: all tiles found once");
  return failures == 0 ? 0 : 1;
}
