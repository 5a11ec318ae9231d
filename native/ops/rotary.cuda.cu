// Bytes moved: rotary 2·T·D elements (the table's row stays in L1 across the heads); rotary_table T·hd floats.
// A block owns a few whole rows; a thread turns one or four neighbouring pairs of a head, and reads both halves before it
// writes either: y may be x.
#include "ops/rotary.h"

#include "cuda/rows.h"

namespace mixwright::cuda {

namespace {
constexpr int kThreads = 256;
constexpr int64_t kPieces = 512;   // that a block has at least, if there are rows enough

__global__ void table_kernel(const int32_t* positions, const float* inv_freq, float* cosines, float* sines, int64_t count,
                             int64_t half, double scale) {
  grid_stride(count, [&](int64_t i) {
    const double angle = double(positions[i / half]) * double(inv_freq[i % half]);
    double s, c;
    sincos(angle, &s, &c);
    cosines[i] = float(c * scale);
    sines[i] = float(s * scale);
  });
}

// `pieces_of_head` pieces of kWidth pairs. Within a block 32 bits are enough, and their division is a quarter of the work.
template <int kWidth, class X, class Y>
__global__ void __launch_bounds__(kThreads) turn(const X* x, const float* cosines, const float* sines, Y* y, int64_t T,
                                                 int64_t rows, unsigned heads, unsigned pieces_of_head, float direction) {
  const int64_t first = blockIdx.x * rows, half = int64_t(pieces_of_head) * kWidth, left = T - first;
  const unsigned pieces_of_row = heads * pieces_of_head, count = unsigned(left < rows ? left : rows) * pieces_of_row;
  for (unsigned i = threadIdx.x; i < count; i += kThreads) {
    const unsigned row = i / pieces_of_row, rest = i % pieces_of_row, head = rest / pieces_of_head;
    const int64_t t = first + row, pair = int64_t(rest % pieces_of_head) * kWidth, at = (t * heads + head) * 2 * half + pair;
    const Floats<kWidth> a = load_floats<kWidth>(x + at), b = load_floats<kWidth>(x + at + half);
    const Floats<kWidth> c = load_floats<kWidth>(cosines + t * half + pair);
    const Floats<kWidth> s = load_floats<kWidth>(sines + t * half + pair);
    Floats<kWidth> low, high;
    for (int k = 0; k < kWidth; k++) {
      const float turned = s.at[k] * direction;
      low.at[k] = a.at[k] * c.at[k] - b.at[k] * turned;
      high.at[k] = b.at[k] * c.at[k] + a.at[k] * turned;
    }
    store_floats(y + at, low);
    store_floats(y + at + half, high);
  }
}
}  // namespace

void rotary_table(Exec& exec, In positions, In inv_freq, Out cos, Out sin, float scale) {
  const int64_t half = inv_freq.size(), count = positions.size() * half;
  launch(exec, table_kernel, blocks_for(exec, count, kThreads), kThreads, 0, positions.data<int32_t>(), inv_freq.data<float>(),
         cos.data<float>(), sin.data<float>(), count, half, double(scale));
}

void rotary(Exec& exec, In x, In cos, In sin, Out y, int64_t heads, bool inverse) {
  const int64_t T = cos.rows(), half = cos.cols();
  if (T == 0 || half == 0 || heads == 0) return;
  with_float_type(x.dtype, [&](auto x_type) {
    with_float_type(y.dtype, [&](auto y_type) {
      using X = decltype(x_type);
      using Y = decltype(y_type);
      with_width(half, [&](auto width) {
        constexpr int kWidth = decltype(width)::value;
        const int64_t rows = pieces(kPieces, heads * (half / kWidth));
        launch(exec, turn<kWidth, X, Y>, dim3(unsigned(pieces(T, rows))), kThreads, 0, x.data<X>(), cos.data<float>(),
               sin.data<float>(), y.data<Y>(), T, rows, unsigned(heads), unsigned(half / kWidth), inverse ? -1.0f : 1.0f);
      }, x, cos, sin, y);
    });
  });
}

}  // namespace mixwright::cuda
