// Fails, and so poisons the stream before anything that follows, unless every element of x (f32 or bf16) is finite. The
// message names the element.
#pragma once
#include "core/op.h"

MW_OP(require_finite, (In x))
