// Rows by index: embeddings, the last row of each document, KV caches.
//   gather_rows: y[i] = x[rows[i]]     scatter_rows: y[rows[i]] = x[i]     scatter_add_rows: y[rows[i]] (+)= Σ x[i], in row order
// x and y f32 or bf16, each its own, or (but for the sum) both i32. The rows are y's, or x's, elements / size of `rows`.
// Throws when an index is outside of the table, and says which.
#pragma once
#include "core/op.h"

MW_OP(gather_rows, (In x, In rows, Out y))

// Equal indices: the last row stays.
MW_OP(scatter_rows, (In x, In rows, Out y))

// Without `accumulate` y starts from 0. Equal indices are added in the order of their rows, on any number of threads.
// A bf16 y is rounded after each addition: where many rows meet, give it f32.
MW_OP(scatter_add_rows, (In x, In rows, Out y, bool accumulate))
