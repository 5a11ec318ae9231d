// The register blocks of the matrix core: R rows × V vectors of sums stay in registers while k runs. Each k takes V vectors
// of the right side and R scalars of the left one, so 6 × 2 fills the 16 registers of AVX2 and 12 × 2 the 32 of AVX-512 and
// NEON. NEON's fmla takes its factor from any lane of a vector, so that four scalars are one load (kByLane).
// The right side is a panel packed by `pack`, or the rows of B themselves; so is the left one (see Left).
#pragma once
#include "cpu/gemm_pack.h"

namespace mixwright::cpu::MW_ISA {

#if defined(__x86_64__) && !defined(__AVX512F__)
constexpr int kBlockRows = 6;
#else
constexpr int kBlockRows = 12;
#endif
#if defined(__aarch64__)
constexpr bool kByLane = true;
#else
constexpr bool kByLane = false;
#endif
constexpr int kRowsInPlace = kBlockRows < 8 ? kBlockRows : 8;  // more rows, a power of two apart, would fill a set of L1
constexpr int kPanel = 2 * kLanes;  // columns of a register block
constexpr int kMostRows = 12;       // of a block of one vector, which would wait for its sums with fewer

// How a register block finds element (r, k) of its left side, from the block's first one on.
enum class Left {
  kPacked,  // [k · kBlockRows + r], f32
  kRows,    // [r · stride + k], f32 or bf16: rows of memory that run along k, read once
};

// And element (k, c) of its right side.
enum class Right {
  kPacked,  // [k · kPanel + c], f32
  kRows,    // [k · stride + c], f32: rows of memory that run along the columns
};

// Memory that will be read soon: `lines` cache lines of it, `stride` bytes apart, are fetched for each 16 steps of k, and the
// next ones, `step` bytes on, for the next 16.
struct Soon {
  const void* at = nullptr;
  int64_t lines = 0, stride = 64, step = 64;
};

// Where a register block puts its sums: at[r · stride + c] = alpha · (sums + carry[r · kPanel + c]) (+ what is there).
struct Into {
  float* at = nullptr;
  int64_t stride = kPanel;
  float alpha = 1;
  bool add = false;
  const float* carry = nullptr;
  bool past_caches = false;
};

// R rows of the left side · V vectors of the right one, over ks steps.
template <class T>
using RegisterBlock = void (*)(const T*, int64_t, const float*, int64_t, int64_t, Into, Soon);

// Rows of a block whose left side is read like that, with this many columns.
MW_INLINE int64_t block_rows(Left left, int64_t cols) {
  return left == Left::kPacked ? kBlockRows : cols <= kLanes ? kMostRows : kRowsInPlace;
}

// The block for 1 … block_rows rows and 1 … kPanel columns. Both sides packed, or one in place; a left side in place may be bf16.
template <Left kLeft, Right kRight, class T>
RegisterBlock<T> register_block_for(int64_t rows, int64_t cols);

}  // namespace mixwright::cpu::MW_ISA
