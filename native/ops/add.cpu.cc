// Bytes moved: each operand once. A task owns 16k elements.
#include "ops/add.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kGrain = 16384;

template <class A, class B, class Y>
void add_range(const A* a, const B* b, Y* y, int64_t n, float alpha, float beta) {
  sweep(n, [&](int64_t i, auto... lanes) {
    store(y + i, alpha * load(a + i, lanes...) + beta * load(b + i, lanes...), lanes...);
  });
}

template <class A, class Y>
void scale_range(const A* a, Y* y, int64_t n, float alpha) {
  sweep(n, [&](int64_t i, auto... lanes) { store(y + i, alpha * load(a + i, lanes...), lanes...); });
}

template <class T>
void fill_all(Exec& exec, T* y, int64_t n, T value) {
  exec.parallel_range(n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = value;
  });
}
}  // namespace

void add(Exec& exec, In a, In b, Out y, float alpha, float beta) {
  with_float_type(a.dtype, [&](auto a_type) {
    with_float_type(y.dtype, [&](auto y_type) {
      using A = decltype(a_type);
      using Y = decltype(y_type);
      const A* from = a.data<A>();
      Y* to = y.data<Y>();
      if (!b) {
        exec.parallel_range(y.size(), kGrain, [&](int64_t begin, int64_t end) {
          scale_range(from + begin, to + begin, end - begin, alpha);
        });
        return;
      }
      with_float_type(b.dtype, [&](auto b_type) {
        using B = decltype(b_type);
        exec.parallel_range(y.size(), kGrain, [&](int64_t begin, int64_t end) {
          add_range(from + begin, b.data<B>() + begin, to + begin, end - begin, alpha, beta);
        });
      });
    });
  });
}

void fill(Exec& exec, Out y, double value) {
  if (y.dtype == DType::i32) return fill_all(exec, y.data<int32_t>(), y.size(), int32_t(value));
  with_float_type(y.dtype, [&](auto type) {
    narrow(float(value), type);
    fill_all(exec, y.data<decltype(type)>(), y.size(), type);
  });
}

void copy(Exec& exec, In x, Out y) {
  const int64_t width = bytes_of(y.dtype);
  exec.parallel_range(y.size(), kGrain, [&](int64_t begin, int64_t end) {
    std::memcpy(y.data<char>() + begin * width, x.data<char>() + begin * width, size_t((end - begin) * width));
  });
}

}  // namespace mixwright::cpu::MW_ISA
