// The lists that an optimizer's kernel is called with: every parameter has a gradient, its state, and a master exactly if it
// is bf16.
#pragma once
#include <vector>

#include "core/tensor.h"

namespace mixwright {

// Throws a KernelError that names the first tensor that doesn't fit.
void check_update_lists(const InList& grads, const OutList& params, const std::vector<const OutList*>& states,
                        const OutList& masters);

// The same for moments in 8 bits (ops/adamw_8bit.h): blocks of 256, codes in i32, four in each, and an f32 scale a block.
void check_moment_lists(const InList& grads, const OutList& params, const std::vector<const OutList*>& codes,
                        const std::vector<const OutList*>& scales, const OutList& masters);

constexpr int64_t kMomentBlock = 256;
static inline int64_t moment_blocks(const View& param) { return (param.size() + kMomentBlock - 1) / kMomentBlock; }

}  // namespace mixwright
