// Bytes moved: each row that is named, read and written once; scatter_add_rows reads its target too.
// gather_rows: a task owns rows of y, 16k elements or so. Both scatters: a task owns 128 columns of all of y, so that
// equal indices meet in one task, in order, and a popular row (a frequent token) burdens all tasks alike.
#include "ops/gather_rows.h"

#include "core/checks.h"
#include "cpu/exec.h"
#include "cpu/simd.h"

namespace mixwright::cpu::MW_ISA {

namespace {
constexpr int64_t kGrain = 16384, kColumns = 128;

void check_rows(In rows, int64_t table) {
  const int32_t* row = rows.data<int32_t>();
  for (int64_t i = 0; i < rows.size(); i++) {
    if (row[i] < 0 || row[i] >= table) {
      fail("row %lld holds index %d, the table has %lld rows", static_cast<long long>(i), row[i],
           static_cast<long long>(table));
    }
  }
}

template <class X, class Y>
void copy_row(const X* x, Y* y, int64_t n) {
  sweep(n, [&](int64_t i, auto... lanes) { store(y + i, load(x + i, lanes...), lanes...); });
}

template <class T>
void copy_row(const T* x, T* y, int64_t n) {
  constexpr int64_t kStep = sizeof(vf) / sizeof(T);
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    vf v;
    std::memcpy(&v, x + i, sizeof v);
    std::memcpy(y + i, &v, sizeof v);
  }
  std::memcpy(y + i, x + i, size_t(n - i) * sizeof(T));
}

// Calls body with the element types of x and y: two float types, or i32 twice.
template <class Body>
void with_types(In x, Out y, Body&& body) {
  if (x.dtype == DType::i32 && y.dtype == DType::i32) return body(int32_t{}, int32_t{});
  with_float_type(x.dtype, [&](auto x_type) { with_float_type(y.dtype, [&](auto y_type) { body(x_type, y_type); }); });
}
}  // namespace

void gather_rows(Exec& exec, In x, In rows, Out y) {
  const int64_t N = rows.size(), width = N == 0 ? 0 : y.size() / N;
  if (width == 0) return;
  check_rows(rows, x.size() / width);
  with_types(x, y, [&](auto x_type, auto y_type) {
    const auto* from = x.data<decltype(x_type)>();
    auto* to = y.data<decltype(y_type)>();
    exec.parallel_range(N, (kGrain + width - 1) / width, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) copy_row(from + rows.data<int32_t>()[i] * width, to + i * width, width);
    });
  });
}

void scatter_rows(Exec& exec, In x, In rows, Out y) {
  const int64_t N = rows.size(), width = N == 0 ? 0 : x.size() / N;
  if (width == 0) return;
  check_rows(rows, y.size() / width);
  with_types(x, y, [&](auto x_type, auto y_type) {
    const auto* from = x.data<decltype(x_type)>();
    auto* to = y.data<decltype(y_type)>();
    exec.parallel_range(width, kColumns, [&](int64_t begin, int64_t end) {
      for (int64_t i = 0; i < N; i++) {
        copy_row(from + i * width + begin, to + rows.data<int32_t>()[i] * width + begin, end - begin);
      }
    });
  });
}

void scatter_add_rows(Exec& exec, In x, In rows, Out y, bool accumulate) {
  const int64_t N = rows.size(), width = N == 0 ? 0 : x.size() / N;
  if (!accumulate) {
    exec.parallel_range(y.bytes(), 4 * kGrain, [&](int64_t begin, int64_t end) {
      std::memset(y.data<char>() + begin, 0, size_t(end - begin));
    });
  }
  if (width == 0) return;
  check_rows(rows, y.size() / width);
  with_float_type(x.dtype, [&](auto x_type) {
    with_float_type(y.dtype, [&](auto y_type) {
      const auto* from = x.data<decltype(x_type)>();
      auto* to = y.data<decltype(y_type)>();
      exec.parallel_range(width, kColumns, [&](int64_t begin, int64_t end) {
        for (int64_t i = 0; i < N; i++) {
          const auto* source = from + i * width + begin;
          auto* target = to + rows.data<int32_t>()[i] * width + begin;
          sweep(end - begin, [&](int64_t c, auto... lanes) {
            store(target + c, load(target + c, lanes...) + load(source + c, lanes...), lanes...);
          });
        }
      });
    });
  });
}

}  // namespace mixwright::cpu::MW_ISA
