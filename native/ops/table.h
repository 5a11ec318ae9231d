// Every op, one row each, in alphabetical order. A row is all that binding an op takes: include its header, name it.
#pragma once
#include "ops/adamw.h"
#include "ops/dropout.h"
#include "ops/lion.h"
#include "ops/random.h"
#include "ops/rms_norm.h"
#include "ops/sgd.h"
#include "ops/sum_squares.h"

#define MIXWRIGHT_OPS(X) \
  X(adamw)               \
  X(clip_scale)          \
  X(dropout)             \
  X(lion)                \
  X(random_normal)       \
  X(random_uniform)      \
  X(rms_norm)            \
  X(rms_norm_grad)       \
  X(sgd)                 \
  X(sum_squares)
