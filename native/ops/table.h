// Every op, one row each, in alphabetical order. A row is all that binding an op takes: include its header, name it.
#pragma once
#include "ops/add.h"
#include "ops/gather_rows.h"
#include "ops/rms_norm.h"
#include "ops/segment_sum.h"
#include "ops/swiglu.h"

#define MIXWRIGHT_OPS(X) \
  X(add)                 \
  X(fill)                \
  X(gather_rows)         \
  X(rms_norm)            \
  X(rms_norm_grad)       \
  X(scatter_add_rows)    \
  X(scatter_rows)        \
  X(segment_sum)         \
  X(segment_sum_grad)    \
  X(swiglu)              \
  X(swiglu_grad)
