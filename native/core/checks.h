// Guards inside kernels. Shapes are checked in TypeScript, with better words; these catch what only data can show
// (an id outside the vocabulary) and mistakes of our own. A failed check poisons the stream with its message.
#pragma once
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace mixwright {

struct KernelError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What a kernel on another processor has found out after its command had left the queue: it says which one it was.
struct LateFailure : KernelError {
  LateFailure(const std::string& what, std::string op_name, std::string module_path, int64_t at_step)
      : KernelError(what), op(std::move(op_name)), path(std::move(module_path)), step(at_step) {}
  std::string op, path;
  int64_t step;
};

inline void require(bool ok, const char* what) {
  if (!ok) throw KernelError(what);
}

// Throws a KernelError with a printf text: numbers always.
[[noreturn, gnu::format(printf, 1, 2)]] void fail(const char* format, ...);

// `offsets` [groups + 1] must begin at 0, never fall and end at `rows`.
void require_offsets(const int32_t* offsets, int64_t groups, int64_t rows);

// Debug mode `finite`: throws when an output of a kernel that has run holds a number that isn't finite.
void check_finite(const std::vector<View>& outputs);

// Calls `body` with a value of the element type that `dtype` names: float or bf16.
template <class Body>
void with_float_type(DType dtype, Body&& body) {
  if (dtype == DType::f32) return body(float{});
  if (dtype == DType::bf16) return body(bf16{});
  throw KernelError(std::string("takes f32 or bf16, got ") + name_of(dtype));
}

}  // namespace mixwright
