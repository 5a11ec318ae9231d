// Every op, one row each, in alphabetical order. A row is all that binding an op takes: include its header, name it.
#pragma once
#include "ops/dora_norm.h"
#include "ops/grouped_matmul.h"
#include "ops/linear_cross_entropy.h"
#include "ops/matmul.h"
#include "ops/rms_norm.h"
#include "ops/scale_rows.h"

#define MIXWRIGHT_OPS(X)        \
  X(column_sum)                 \
  X(dora_norm)                  \
  X(grouped_matmul)             \
  X(grouped_matmul_weight_grad) \
  X(linear_cross_entropy)       \
  X(linear_cross_entropy_grad)  \
  X(matmul)                     \
  X(rms_norm)                   \
  X(rms_norm_grad)              \
  X(row_sum_squares)            \
  X(scale_rows)
