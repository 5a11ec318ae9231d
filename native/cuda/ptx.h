// The instructions that CUDA C++ has no words for: asynchronous copies into shared memory, and the tensor cores' products.
// The emulator brings the same functions.
//
// mma_bf16 is mma.m16n8k16 on one warp: d += a · b. With g = lane / 4 and t = lane % 4, two bf16 to a register:
//   a[0]: row g, k 2t   a[1]: row g+8, k 2t   a[2]: row g, k 2t+8   a[3]: row g+8, k 2t+8
//   b[0]: k 2t, column g   b[1]: k 2t+8, column g      d[0], d[1]: row g, columns 2t, 2t+1   d[2], d[3]: row g+8
#pragma once
#include "cuda/launch.h"

#ifndef MW_CUDA_EMULATED
namespace mixwright::cuda {

__device__ inline uint32_t shared_address(const void* p) { return uint32_t(__cvta_generic_to_shared(p)); }

// 16 bytes of which the first `valid` are copied and the rest are 0. Both sides are aligned to 16; with valid 0 nothing is read.
__device__ inline void copy_async(void* shared, const void* global, int valid = 16) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(valid) : "memory");
}
__device__ inline void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most N of this thread's committed groups are still under way. Other threads' copies need a __syncthreads.
template <int N>
__device__ inline void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// Four 8 × 8 matrices of bf16 from rows of 16 bytes in shared memory: lane l gives the address of row l % 8 of matrix l / 8; and
// register i gets, of matrix i, row lane / 4, columns 2 (lane % 4) and the next. With kTranspose the matrices are transposed.
template <bool kTranspose>
__device__ inline void load_matrices(uint32_t (&r)[4], const void* row) {
  if constexpr (kTranspose) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
  }
}

// Two floats rounded to bf16, `low` in the lower half.
__device__ inline uint32_t pack_bf16(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

__device__ inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace mixwright::cuda
#endif
