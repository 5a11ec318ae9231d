// The lists that an optimizer's kernel is called with: every parameter has a gradient, its state, and a master exactly if it
// is bf16.
#pragma once
#include <vector>

#include "core/tensor.h"

namespace mixwright {

// Throws a KernelError that names the first tensor that doesn't fit.
void check_update_lists(const InList& grads, const OutList& params, const std::vector<const OutList*>& states,
                        const OutList& masters);

}  // namespace mixwright
