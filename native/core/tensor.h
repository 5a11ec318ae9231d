// What a kernel sees of a tensor: a pointer, a number format and a contiguous row-major shape of at most four axes.
// `In` is read, `Out` is written (or read and written, where a kernel's header says "in place"). A kernel takes them by
// value; the memory is owned by the pool and stays valid until the command has run, because the stream is in order.
#pragma once
#include <cstdint>
#include <vector>

#include "core/dtype.h"

namespace mixwright {

constexpr int kMaxRank = 4;

struct View {
  void* memory = nullptr;  // null: an optional operand that was not given
  DType dtype = DType::f32;
  int rank = 0;
  int64_t dim[kMaxRank] = {1, 1, 1, 1};

  explicit operator bool() const { return memory != nullptr; }
  int64_t size() const { return dim[0] * dim[1] * dim[2] * dim[3]; }  // axes past the rank are 1
  int64_t bytes() const { return size() * bytes_of(dtype); }
  int64_t cols() const { return rank == 0 ? 1 : dim[rank - 1]; }  // the last axis
  int64_t rows() const { return cols() == 0 ? 0 : size() / cols(); }  // all other axes together
};

struct In : View {
  template <class T>
  const T* data() const {
    return static_cast<const T*>(memory);
  }
};

struct Out : View {
  template <class T>
  T* data() const {
    return static_cast<T*>(memory);
  }
};

// `count` rows of a tensor from row `first` on, as a matrix. Of an absent tensor: absent.
template <class Operand>
Operand rows_of(const Operand& whole, int64_t first, int64_t count) {
  Operand rows;
  if (whole) rows.memory = static_cast<char*>(whole.memory) + first * whole.cols() * bytes_of(whole.dtype);
  rows.dtype = whole.dtype;
  rows.rank = 2;
  rows.dim[0] = count;
  rows.dim[1] = whole.cols();
  return rows;
}

// Operands of a kernel that works on many tensors at once, such as an optimizer step.
using InList = std::vector<In>;
using OutList = std::vector<Out>;

}  // namespace mixwright
