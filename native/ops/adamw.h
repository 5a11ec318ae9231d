// Adam with decoupled weight decay (Loshchilov and Hutter 2019, alg. 2) over any number of tensors in one pass, in place:
//   p -= lr·decay·p;  m += (1-b1)(g-m);  v += (1-b2)(g²-v);  p -= lr · m/(1-b1^step) / (sqrt(v/(1-b2^step)) + eps)
// g is the gradient times grad_scale [1] f32 (absent: 1; what clipping by global norm gives). Without `decoupled`, the decay
// is added to the gradient instead (Kingma and Ba 2015 with L2). step counts from 1.
// grads, moments f32. A bf16 parameter has an f32 master, which takes the update and is rounded into it; for an f32
// parameter the entry of `masters` is absent.
#pragma once
#include "core/op.h"

MW_OP(adamw, (InList grads, OutList params, OutList first, OutList second, OutList masters, In grad_scale, double lr,
              double beta1, double beta2, double eps, double decay, bool decoupled, int64_t step))
