// Every op, one row each, in alphabetical order. A row is all that binding an op takes: include its header, name it.
#pragma once
#include "ops/add.h"
#include "ops/combine_rows.h"
#include "ops/dora_compose.h"
#include "ops/gather_rows.h"
#include "ops/rms_norm.h"
#include "ops/router.h"
#include "ops/router_loss.h"
#include "ops/segment_sum.h"
#include "ops/sigmoid_gate.h"
#include "ops/sort_by_expert.h"
#include "ops/swiglu.h"

#define MIXWRIGHT_OPS(X)      \
  X(add)                      \
  X(combine_rows)             \
  X(combine_rows_grad)        \
  X(dora_compose)             \
  X(dora_compose_grad)        \
  X(fill)                     \
  X(gather_rows)              \
  X(load_balancing_loss)      \
  X(load_balancing_loss_grad) \
  X(rms_norm)                 \
  X(rms_norm_grad)            \
  X(router)                   \
  X(router_grad)              \
  X(router_z_loss)            \
  X(router_z_loss_grad)       \
  X(scatter_add_rows)         \
  X(scatter_rows)             \
  X(segment_sum)              \
  X(segment_sum_grad)         \
  X(sigmoid_gate)             \
  X(sigmoid_gate_grad)        \
  X(sort_by_expert)           \
  X(swiglu)                   \
  X(swiglu_grad)
