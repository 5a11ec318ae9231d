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

// A thread counts rows and columns in 32 bits, elements in 64.
inline Side side_of(const View& view, int64_t stride, bool along_k, const int32_t* rows = nullptr, int64_t table = 0) {
  if (view.rows() > INT32_MAX || stride > INT32_MAX) {
    fail("operand of %lld rows of %lld: more than 32 bits count", (long long)view.rows(), (long long)stride);
  }
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
      : side_(side), along_k_(along_k), first_(int(first + (along_k ? x : k))), offset_(int(along_k ? k : x)),
        count_(int(count)), k_end_(int(k_end - k)), limit_(side.rows ? unsigned(side.table) : 0x80000000u) {
    for (int u = 0; u < kOwn; u++) memory_row_[u] = find(row(u), row(u) < (along_k ? count_ : k_left()));
  }

  static __device__ int index(int u) { return u * kThreads + int(threadIdx.x); }
  static __device__ bool mine(int u) { return kAll % kThreads == 0 || index(u) < kAll; }
  // Row and piece of the row that piece u is in shared memory: of a row along k kDepth / kUnit, of the others kSize / kUnit.
  __device__ int row(int u) const { return along_k_ ? index(u) / (kDepth / kUnit) : index(u) / (kSize / kUnit); }
  __device__ int column(int u) const { return along_k_ ? index(u) % (kDepth / kUnit) : index(u) % (kSize / kUnit); }

  // Elements of piece u that there are, in [0, kUnit]; and where they begin.
  __device__ int valid(int u) const {
    const int left = (along_k_ ? k_left() : count_) - column(u) * kUnit;
    return unsigned(memory_row_[u]) >= limit_ || left < 0 ? 0 : left < kUnit ? left : kUnit;
  }
  __device__ int64_t begin(int u) const {
    return int64_t(memory_row_[u]) * int(side_.stride) + (offset_ + (along_k_ ? k_ : 0) + column(u) * kUnit);
  }

  __device__ void advance() {
    k_ += kDepth;
    if (along_k_) return;
    for (int u = 0; u < kOwn; u++) memory_row_[u] = find(k_ + row(u), row(u) < k_left());
  }

 private:
  __device__ int k_left() const { return k_end_ - k_ < kDepth ? k_end_ - k_ : kDepth; }

  // The row in memory of the i-th from the first on; -1: none. Looked up one step before it is needed, and only then looked at,
  // so that nobody waits for it.
  __device__ int find(int i, bool exists) const { return !exists ? -1 : side_.rows ? side_.rows[first_ + i] : first_ + i; }

  const Side& side_;
  const bool along_k_;
  const int first_, offset_, count_, k_end_;
  const unsigned limit_;
  int k_ = 0;  // from the first step on
  int memory_row_[kOwn];
};

}  // namespace mixwright::cuda
