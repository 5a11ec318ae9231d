// y = alpha·a + beta·b, element by element; b absent: y = alpha·a. Any mix of f32 and bf16; y may be a or b.
#pragma once
#include "core/op.h"

MW_OP(add, (In a, In b, Out y, float alpha, float beta))

// y = value everywhere (f32, bf16 or i32).
MW_OP(fill, (Out y, double value))

// y = x, bit for bit; both of one size and format (f32, bf16 or i32).
MW_OP(copy, (In x, Out y))
