// adamw with both moments in 8 bits (Dettmers et al. 2022, "8-bit optimizers via block-wise quantization"), in place. A block
// is 256 neighbouring elements of a tensor; the last one may be shorter. Its moments are scale · value[code], scale being the
// largest magnitude in the block. They are widened, changed as in adamw, applied to the parameter as they are in f32, and
// rounded to the nearest value under the new scale.
//   codes [n/4, rounded up] i32 hold four bytes each, in memory order; scales [n/256, rounded up] f32. All zero: moments of 0.
// The values are the paper's dynamic tree, with 7 decades: the first moment's have a sign, the second's don't. Two rules keep
// an update from growing when its gradient vanishes: a second moment above zero is never rounded to zero, and where it is zero
// with a code of zero, so was the gradient.
// Lists, masters, grad_scale and numbers as in adamw.
#pragma once
#include <math.h>

#include <cstdint>
#include <cstring>

#include "core/dtype.h"
#include "core/op.h"

MW_OP(adamw_8bit, (InList grads, OutList params, OutList first, OutList first_scales, OutList second, OutList second_scales,
                   OutList masters, In grad_scale, double lr, double beta1, double beta2, double eps, double decay,
                   bool decoupled, int64_t step))

namespace mixwright {

// Magnitudes from 0 to 1 in ascending order, `last` + 1 of them: 0, then decade by decade 0.1 to 1 (times 10^-6 … 10^0) the
// middles of 1, 2, 4, … 64 equal parts (of twice as many without a sign), then 1.
// `nearest` of |x| ≤ 1 is looked up by the upper 16 bits of x: a cell of equal bits holds at most one of the middles between
// values, so one comparison decides.
struct Magnitudes {
  static constexpr int32_t kFirstCell = 105 << 7, kCells = 22 * 128 + 1;  // from 2^-22 to 1; below, the nearest is 0

  float value[256];
  float middle[256];  // between value[i] and value[i + 1]; infinite after the last
  uint8_t first[kCells];
  int32_t last;
};

// For both engines; `static`: see core/dtype.h.
static inline Magnitudes magnitudes(bool has_sign) {
  Magnitudes to = {};
  double power = 1e-6;
  int count = 1;
  for (int decade = 0; decade < 7; decade++, power *= 10) {
    const int parts = (has_sign ? 1 : 2) << decade;
    for (int i = 0; i < parts; i++) to.value[count++] = float(power * (0.1 + 0.9 * (i + 0.5) / parts));
  }
  to.value[count] = 1;
  to.last = count;
  for (int i = 0; i < to.last; i++) to.middle[i] = (to.value[i] + to.value[i + 1]) / 2;
  to.middle[to.last] = INFINITY;
  for (int32_t cell = 0, at = 0; cell < Magnitudes::kCells; cell++) {
    const int32_t bits = (Magnitudes::kFirstCell + cell) << 16;
    float edge;
    std::memcpy(&edge, &bits, 4);
    while (to.middle[at] < edge) at++;
    to.first[cell] = uint8_t(at);
  }
  return to;
}

MW_ANYWHERE static inline int32_t nearest(const Magnitudes& among, float magnitude) {
  int32_t bits;
  std::memcpy(&bits, &magnitude, 4);
  const int32_t cell = (bits >> 16) - Magnitudes::kFirstCell;
  if (cell < 0) return 0;
  const int32_t at = among.first[cell < Magnitudes::kCells ? cell : Magnitudes::kCells - 1];
  return at + (magnitude > among.middle[at] ? 1 : 0);
}

// The first moment, over its block's scale: 127 is 0, 255 is 1, and 0 is -0.993, there being no -1.
MW_ANYWHERE static inline uint8_t signed_code(const Magnitudes& among, float x) {
  const int32_t at = nearest(among, x < 0 ? -x : x);
  return uint8_t(x < 0 ? 127 - (at < 127 ? at : 127) : 127 + at);
}

MW_ANYWHERE static inline float signed_value(const Magnitudes& among, uint8_t code) {
  return code < 127 ? -among.value[127 - code] : among.value[code - 127];
}

// The second moment, over its block's scale: never negative.
MW_ANYWHERE static inline uint8_t unsigned_code(const Magnitudes& among, float x) {
  const int32_t at = nearest(among, x);
  return uint8_t(x > 0 && at == 0 ? 1 : at);
}

}  // namespace mixwright
