#include "core/checks.h"

#include <cmath>
#include <cstdarg>
#include <cstdio>

namespace mixwright {

void fail(const char* format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  throw KernelError(text);
}

void require_offsets(const int32_t* offsets, int64_t groups, int64_t rows) {
  if (offsets[0] != 0) fail("offsets begin at %d, needed 0", offsets[0]);
  for (int64_t i = 0; i < groups; i++) {
    if (offsets[i + 1] < offsets[i]) {
      fail("offsets fall from %d to %d at entry %lld", offsets[i], offsets[i + 1], static_cast<long long>(i + 1));
    }
  }
  if (offsets[groups] != rows) fail("offsets end at %d, there are %lld rows", offsets[groups], static_cast<long long>(rows));
}

void check_finite(const std::vector<View>& outputs) {
  for (size_t position = 0; position < outputs.size(); position++) {
    const View& out = outputs[position];
    if (!out || (out.dtype != DType::f32 && out.dtype != DType::bf16)) continue;
    for (int64_t i = 0; i < out.size(); i++) {
      const float value = out.dtype == DType::f32 ? static_cast<const float*>(out.memory)[i]
                                                  : widen(static_cast<const bf16*>(out.memory)[i]);
      if (!std::isfinite(value)) {
        throw KernelError("output " + std::to_string(position) + " holds " + std::to_string(value) + " at element " +
                          std::to_string(i) + " of " + std::to_string(out.size()));
      }
    }
  }
}

}  // namespace mixwright
