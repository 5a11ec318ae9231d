// Stochastic gradient descent with momentum (Sutskever et al. 2013, as PyTorch writes it), in place:
//   g += decay·p;  b = momentum·b + g (b = g at step 1);  p -= lr · (nesterov ? g + momentum·b : b)
// Without momentum the list `velocity` is empty. Lists, masters and grad_scale as in adamw; step counts from 1.
#pragma once
#include "core/op.h"

MW_OP(sgd, (InList grads, OutList params, OutList velocity, OutList masters, In grad_scale, double lr, double momentum,
            bool nesterov, double decay, int64_t step))
