// Rows by index: embeddings, the last row of each document, KV caches.
//   gather_rows: y[i] = x[rows[i]]     scatter_rows: y[rows[i]] = x[i]     scatter_add_rows: y[rows[i]] (+)= Σ x[i], in row order
// Throws when an index is outside of the table, and says which.
#pragma once
#include "core/op.h"

MW_OP(gather_rows, (In x, In rows, Out y))
MW_OP(scatter_rows, (In x, In rows, Out y))

// Without `accumulate` y starts from 0. Equal indices are added in the order of their rows, on any number of threads.
MW_OP(scatter_add_rows, (In x, In rows, Out y, bool accumulate))
