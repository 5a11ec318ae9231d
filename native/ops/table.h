// Every op, one row each, in alphabetical order. A row is all that binding an op takes: include its header, name it.
#pragma once
#include "ops/attention.h"
#include "ops/attention_grad.h"
#include "ops/rms_norm.h"
#include "ops/rotary.h"
#include "ops/sample.h"

#define MIXWRIGHT_OPS(X) \
  X(attention)           \
  X(attention_grad)      \
  X(rms_norm)            \
  X(rms_norm_grad)       \
  X(rotary)              \
  X(rotary_table)        \
  X(sample)
