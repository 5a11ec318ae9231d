// Lion (Chen et al. 2023, alg. 2), in place:  p -= lr·decay·p;  p -= lr·sign(b1·m + (1-b1)·g);  m = b2·m + (1-b2)·g
// Lists, masters and grad_scale as in adamw.
#pragma once
#include "core/op.h"

MW_OP(lion, (InList grads, OutList params, OutList momentum, OutList masters, In grad_scale, double lr, double beta1,
             double beta2, double decay))
