// What the matrix core multiplies (Side), a tile of it (Task), and the share of a thread in copying a side to shared memory.
#pragma once
#include "cuda/launch.h"
#include "cuda/tiles.h"

namespace mixwright::cuda {

constexpr int kSumsPad = 8;  // floats between rows of sums: registers are put there without bank conflicts

// One side of a product. Its rows in memory run along k, or (along_k false) along C's rows or columns.
struct Side {
  const void* memory;
  bool wide;       // f32, or bf16
  int64_t stride;  // elements from one row in memory to the next
  bool along_k;
  const int32_t* rows = nullptr;  // which row in memory is the i-th; absent: the i-th. What isn't below `table` reads as zeros
  int64_t table = 0;
  bool vectors = false;  // pieces are aligned: see aligned()

  // The same, with `vectors` for pieces of `unit` elements.
  Side aligned(int unit) const {
    Side side = *this;
    const int64_t bytes = wide ? 4 : 2;
    side.vectors = (int64_t(uintptr_t(memory)) | stride * bytes) % (unit * bytes) == 0;
    return side;
  }
};

inline Side side_of(const View& view, int64_t stride, bool along_k, const int32_t* rows = nullptr, int64_t table = 0) {
  return {view.memory, view.dtype == DType::f32, stride, along_k, rows, table};
}

struct Task {
  int64_t group;                 // for `finish`
  int64_t row, rows, col, cols;  // the tile of C
  int64_t a_first, b_first;      // where the group's rows begin in the memory of A and B
  int64_t k_begin, k_end;        // k_begin is a multiple of 32
};

// The pieces of kUnit elements that one thread copies of a side, kSize × kDepth elements a step; step after step.
template <int kSize, int kDepth, int kUnit, int kThreads>
class Pieces {
 public:
  static constexpr int kAll = kSize * kDepth / kUnit, kOwn = (kAll + kThreads - 1) / kThreads;

  // x, count: the side's rows (columns) of C.
  __device__ Pieces(const Side& side, bool along_k, int64_t first, int64_t x, int64_t count, int64_t k, int64_t k_end)
      : side_(side), along_k_(along_k), first_(first + (along_k ? x : k)), offset_(along_k ? k : x), k_end_(int(k_end - k)) {
    left_ = along_k ? k_left() : int(count);
    for (int u = 0; u < kOwn; u++) at_[u] = start(row(u), row(u) < (along_k ? int(count) : k_left()), u);
  }

  static __device__ int index(int u) { return u * kThreads + int(threadIdx.x); }
  static __device__ bool mine(int u) { return kAll % kThreads == 0 || index(u) < kAll; }
  // Row and piece of the row that piece u is in shared memory: of a row along k kDepth / kUnit, of the others kSize / kUnit.
  __device__ int row(int u) const { return along_k_ ? index(u) / (kDepth / kUnit) : index(u) / (kSize / kUnit); }
  __device__ int column(int u) const { return along_k_ ? index(u) % (kDepth / kUnit) : index(u) % (kSize / kUnit); }

  // Elements of piece u that there are, in [0, kUnit]; and where they begin.
  __device__ int valid(int u) const {
    const int left = left_ - column(u) * kUnit;
    return at_[u] < 0 || left < 0 ? 0 : left < kUnit ? left : kUnit;
  }
  __device__ int64_t begin(int u) const { return along_k_ ? at_[u] + k_ : at_[u]; }

  __device__ void advance() {
    k_ += kDepth;
    if (along_k_) {
      left_ = k_left();
    } else {
      for (int u = 0; u < kOwn; u++) at_[u] = start(k_ + row(u), row(u) < k_left(), u);
    }
  }

 private:
  __device__ int k_left() const { return k_end_ - k_ < kDepth ? k_end_ - k_ : kDepth; }

  // Where piece u begins, in the side's i-th row from the first on; -1: nowhere. Read one step before it is needed.
  __device__ int64_t start(int own, bool exists, int u) const {
    if (!exists) return -1;
    int64_t i = first_ + own;
    if (side_.rows) {
      i = side_.rows[i];
      if (i < 0 || i >= side_.table) return -1;
    }
    return i * side_.stride + offset_ + column(u) * kUnit;
  }

  const Side& side_;
  const bool along_k_;
  const int64_t first_, offset_;
  int k_ = 0, k_end_;  // from the first step on
  int left_;
  int64_t at_[kOwn];
};

}  // namespace mixwright::cuda
