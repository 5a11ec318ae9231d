// Measuring tools, not ops: what this processor can do with the instructions our kernels are compiled to, measured on our own
// threads. bench/ states its results as a part of these. Nothing in lib/ calls them.
#pragma once
#include "core/op.h"

// Each element of y [tasks] f32 costs `flops` operations in registers, a multiple of 160; its value means nothing.
MW_OP(fma_peak, (Out y, int64_t flops))

// STREAM (McCalpin 1995), f32. Copy: c = a; with c on a's memory, an update in place. Triad: c = a + 3·b.
MW_OP(stream_copy, (In a, Out c))
MW_OP(stream_triad, (In a, In b, Out c))
// Reads a; y [n / 16384, rounded up] f32 gets one sum for each 16384 elements.
MW_OP(stream_read, (In a, Out y))
